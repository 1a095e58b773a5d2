//! libp2p with a certificate that stays, and a handle to its node.

use std::{cell::RefCell, fs, path::Path, rc::Rc, time::Duration};

use anyhow::{Context as _, Result, bail};
use libp2p_webrtc::tokio::Certificate;
use ocap_remotes::{
    network::{
        link::{Network, Started},
        node::{Libp2p, Node},
    },
    runtime::Runtime,
    wire::{PeerId, RemoteCommsOptions, RemoteError},
};

/// How long it may take to have all addresses.
const READY_LIMIT: Duration = Duration::from_secs(20);

/// The node of a network that was started.
#[derive(Clone, Default)]
pub(crate) struct Handle(Rc<RefCell<Option<Node>>>);

/// A network that leaves a handle to its node.
pub(crate) struct Listening {
    libp2p: Libp2p,
    handle: Handle,
}

impl Listening {
    /// `handle` is to the node, once it is started. Without a certificate, in PEM, one is made for this time.
    pub(crate) fn new(runtime: Rc<dyn Runtime>, certificate: Option<String>, handle: Handle) -> Self {
        let libp2p = Libp2p::new(runtime);
        let libp2p = match certificate {
            Some(pem) => libp2p.with_certificate(pem),
            None => libp2p,
        };
        Listening { libp2p, handle }
    }
}

impl Network for Listening {
    type Links = Node;

    fn start(&self, seed: [u8; 32], options: &RemoteCommsOptions) -> Result<Started<Node>, RemoteError> {
        let (node, events) = self.libp2p.start(seed, options)?;
        self.handle.0.replace(Some(node.clone()));
        Ok((node, events))
    }
}

impl Handle {
    /// Closes every connection to the peer.
    pub(crate) async fn disconnect(&self, peer: &PeerId) {
        let node = self.0.borrow().clone();
        if let Some(node) = node {
            node.disconnect(peer).await;
        }
    }

    /// All addresses of the options, each with its peer id, as soon as they are there.
    pub(crate) async fn addresses(&self, options: &RemoteCommsOptions) -> Result<Vec<String>> {
        let node = self.0.borrow().clone().context("the network has not been started")?;
        let wanted = options.direct_listen_addresses.len() + usize::from(!options.relays.is_empty());
        let started = tokio::time::Instant::now();
        loop {
            let addresses = node.listen_addresses();
            let circuits = addresses.iter().any(|address| address.contains("p2p-circuit"));
            if addresses.len() >= wanted && (circuits || options.relays.is_empty()) {
                let suffix = format!("/p2p/{}", node.peer());
                let whole = |address: String| match address.ends_with(&suffix) {
                    true => address,
                    false => address + &suffix,
                };
                return Ok(addresses.into_iter().map(whole).collect());
            }
            if started.elapsed() > READY_LIMIT {
                bail!("listening only on {addresses:?}");
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// The certificate in the file, or one that is made and written there.
pub(crate) fn pem(file: &Path) -> Result<String> {
    if let Ok(pem) = fs::read_to_string(file) {
        return Ok(pem);
    }
    let pem = Certificate::generate(&mut rand::rng())?.serialize_pem();
    fs::write(file, &pem).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(pem)
}
