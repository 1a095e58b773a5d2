//! Dialling from a port of its own.
//!
//! libp2p's TCP transport dials from the port that it listens on, which serves those who pierce NATs. Nobody here does, and
//! such a dial fails for as long as any other program on the machine happens to have a connection from the same port.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, Transport,
    core::transport::{DialOpts, ListenerId, PortUse, TransportError, TransportEvent},
};

/// A transport that never dials from a port that it listens on.
#[derive(Debug)]
pub(super) struct NewPorts<T>(pub(super) T);

impl<T: Transport + Unpin> Transport for NewPorts<T> {
    type Output = T::Output;
    type Error = T::Error;
    type ListenerUpgrade = T::ListenerUpgrade;
    type Dial = T::Dial;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<T::Error>> {
        self.0.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.0.remove_listener(id)
    }

    fn dial(&mut self, address: Multiaddr, options: DialOpts) -> Result<T::Dial, TransportError<T::Error>> {
        self.0.dial(address, DialOpts { port_use: PortUse::New, ..options })
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<TransportEvent<T::ListenerUpgrade, T::Error>> {
        Pin::new(&mut self.0).poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use futures::future::poll_fn;
    use libp2p::{core::Endpoint, multiaddr::Protocol, tcp};

    use super::*;

    #[tokio::test]
    async fn a_dial_does_not_come_from_the_port_that_is_listened_on() {
        let mut transport = NewPorts(tcp::tokio::Transport::new(tcp::Config::default()));
        transport.listen_on(ListenerId::next(), "/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
        let listening = poll_fn(|cx| Pin::new(&mut transport).poll(cx)).await;
        let TransportEvent::NewAddress { listen_addr, .. } = listening else { panic!("{listening:?}") };

        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("/ip4/127.0.0.1/tcp/{}", other.local_addr().unwrap().port()).parse().unwrap();
        let options = DialOpts { role: Endpoint::Dialer, port_use: PortUse::Reuse };
        let _connection = transport.dial(address, options).unwrap().await.unwrap();
        let (_, from) = other.accept().unwrap();
        assert!(!listen_addr.iter().any(|part| part == Protocol::Tcp(from.port())), "{listen_addr} was reused");
    }
}
