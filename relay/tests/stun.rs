//! Packets that anybody may send to the relay's UDP port: WebRTC begins with one of them.
#![allow(clippy::unwrap_used)] // clippy knows tests by #[test] only

use std::{net::UdpSocket, pin::pin, time::Duration};

use futures::{StreamExt as _, future::poll_fn, stream};
use libp2p::{
    Transport as _,
    core::transport::{ListenerId, TransportEvent},
    identity::Keypair,
    multiaddr::Protocol,
};
use libp2p_webrtc::tokio::{Certificate, Transport};

/// A STUN binding request with this user name (RFC 8489).
fn binding_request(username: &str) -> Vec<u8> {
    let padded = username.len().next_multiple_of(4);
    let mut packet = vec![0, 1];
    packet.extend_from_slice(&u16::try_from(4 + padded).unwrap().to_be_bytes());
    packet.extend_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
    packet.extend_from_slice(&[7; 12]);
    packet.extend_from_slice(&6_u16.to_be_bytes());
    packet.extend_from_slice(&u16::try_from(username.len()).unwrap().to_be_bytes());
    packet.extend_from_slice(username.as_bytes());
    packet.resize(24 + padded, 0);
    packet
}

#[tokio::test]
async fn an_address_begins_one_connection_however_many_names_it_gives() {
    let certificate = Certificate::generate(&mut rand::rng()).unwrap();
    let mut transport = Transport::new(Keypair::generate_ed25519(), certificate);
    transport.listen_on(ListenerId::next(), "/ip4/127.0.0.1/udp/0/webrtc-direct".parse().unwrap()).unwrap();
    let mut transport = pin!(transport);
    let mut events = pin!(stream::poll_fn(|cx| transport.as_mut().poll(cx).map(Some)));
    let Some(TransportEvent::NewAddress { listen_addr, .. }) = events.next().await else { unreachable!() };
    let port = listen_addr.iter().find_map(|part| if let Protocol::Udp(port) = part { Some(port) } else { None });

    let mallory = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 0..100 {
        let packet = binding_request(&format!("name-{number}:name-{number}"));
        mallory.send_to(&packet, ("127.0.0.1", port.unwrap())).unwrap();
    }
    mallory.send_to(&binding_request(&"x".repeat(600)), ("127.0.0.1", port.unwrap())).unwrap();
    let alice = UdpSocket::bind("127.0.0.1:0").unwrap();
    alice.send_to(&binding_request("alice:alice"), ("127.0.0.1", port.unwrap())).unwrap();

    let mut begun = Vec::new();
    let mut deadline = pin!(tokio::time::sleep(Duration::from_secs(1)));
    loop {
        tokio::select! {
            () = &mut deadline => break,
            event = poll_fn(|cx| events.as_mut().poll_next_unpin(cx)) => {
                let Some(TransportEvent::Incoming { send_back_addr, .. }) = event else { continue };
                begun.push(send_back_addr.iter().find_map(|part| if let Protocol::Udp(port) = part { Some(port) } else { None }));
            }
        }
    }
    let ports = [mallory, alice].map(|socket| Some(socket.local_addr().unwrap().port()));
    assert_eq!(begun, ports);
}
