//! What a relay keeps over a restart: its key seed, from which the peer id follows, and its WebRTC certificate, whose hash
//! stands in its addresses.

use std::{
    fs,
    io::{ErrorKind, Write as _},
    path::Path,
};

use anyhow::{Context as _, Result};
use libp2p::identity;
use libp2p_webrtc::tokio::Certificate;

const SEED_FILE: &str = "identity.seed";
const CERTIFICATE_FILE: &str = "webrtc.pem";

/// Reads identity and certificate from the folder, makes what is missing; without a folder both are new.
pub(crate) fn load_or_create(folder: Option<&Path>) -> Result<(identity::Keypair, Certificate)> {
    let Some(folder) = folder else {
        return Ok((key(new_seed()?)?, Certificate::generate(&mut rand::rng())?));
    };
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;

    let seed_file = folder.join(SEED_FILE);
    let seed = match read(&seed_file)? {
        Some(seed) => seed.try_into().ok().with_context(|| format!("{} is not 32 bytes", seed_file.display()))?,
        None => {
            let seed = new_seed()?;
            write_private(&seed_file, &seed)?;
            seed
        }
    };

    let certificate_file = folder.join(CERTIFICATE_FILE);
    let certificate = match read(&certificate_file)? {
        Some(pem) => Certificate::from_pem(&String::from_utf8(pem)?)
            .with_context(|| format!("{} is no certificate", certificate_file.display()))?,
        None => {
            let certificate = Certificate::generate(&mut rand::rng())?;
            write_private(&certificate_file, certificate.serialize_pem().as_bytes())?;
            certificate
        }
    };
    Ok((key(seed)?, certificate))
}

fn key(seed: [u8; 32]) -> Result<identity::Keypair> {
    identity::Keypair::ed25519_from_bytes(seed).context("the key seed was refused")
}

fn new_seed() -> Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).context("the system has no random source")?;
    Ok(seed)
}

fn read(file: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

fn write_private(file: &Path, bytes: &[u8]) -> Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(file)
        .and_then(|mut opened| opened.write_all(bytes))
        .with_context(|| format!("cannot write {}", file.display()))
}
