//! OCAP URLs: redeeming them, and what comes of it.

use super::{
    super::{
        super::{KernelError, OcapUrl, UrlIssuer, host::HostKernel},
        Effect, RedemptionId,
        redemption::{Redemptions, redemption_timeout},
    },
    RemoteManager,
};
use crate::{
    faults::{Fault, seeded},
    runtime::Timestamp,
    wire::EndpointId,
};

impl RemoteManager {
    /// The issuer of this kernel's URLs.
    pub fn issuer(&self) -> &UrlIssuer {
        &self.issuer
    }

    /// Redeems a URL: this kernel's own at once, another's by asking its issuer. The end is an [`Effect::Redeemed`].
    ///
    /// # Errors
    /// [`KernelError::Url`]; [`KernelError::Remote`] when too many messages to the issuer are unacknowledged already;
    /// [`KernelError::Store`].
    pub fn redeem_ocap_url(
        &mut self,
        host: &mut dyn HostKernel,
        url: &str,
        random: [u8; 16],
        now: Timestamp,
    ) -> Result<RedemptionId, KernelError> {
        let parsed: OcapUrl = url.parse()?;
        if parsed.peer() == self.issuer.peer() {
            let id = self.redemptions.next_id();
            let kref = self.issuer.open(&parsed)?;
            let result = if host.has_object(kref)? { Ok(kref) } else { Err(gone()) };
            self.effects.push_back(Effect::Redeemed { id, result });
            return Ok(id);
        }
        let remote_id = self.remote_for(host, parsed.peer(), parsed.relays().to_vec(), now)?;
        self.ask_issuer(host, remote_id, url, random, now)
    }

    /// Asks a remote what is behind one of its URLs. The end is an [`Effect::Redeemed`].
    ///
    /// # Errors
    /// [`KernelError::UnknownRemote`], and as [`redeem_ocap_url`](Self::redeem_ocap_url).
    pub fn ask_issuer(
        &mut self,
        host: &mut dyn HostKernel,
        remote_id: EndpointId,
        url: &str,
        random: [u8; 16],
        now: Timestamp,
    ) -> Result<RedemptionId, KernelError> {
        let id = self.redemptions.next_id();
        let key = if seeded(Fault::RepeatReplyKeys) { id.to_string() } else { Redemptions::reply_key(random) };
        let remote = self.remotes.get_mut(&remote_id).ok_or(KernelError::UnknownRemote(remote_id))?;
        let staged = host.transaction("redeemURL", |host| remote.redeem_url(host, url.to_owned(), key.clone()));
        let seq = match staged {
            Ok(seq) => {
                remote.keep_staged();
                seq
            }
            Err(error) => {
                remote.roll_back_staged();
                return Err(error);
            }
        };
        self.redemptions.wait(id, key, (remote_id, seq), now.after(redemption_timeout(&self.config.session)));
        Ok(id)
    }

    /// Nobody waits for this redemption any more. What its answer gives is let go.
    pub fn abandon_redemption(&mut self, id: RedemptionId) {
        self.redemptions.abandon(id);
    }

    /// Ends every redemption that waits for a remote, with this error.
    pub fn reject_redemptions(&mut self, remote: EndpointId, error: &KernelError) {
        for id in self.redemptions.take_all_of(remote) {
            self.effects.push_back(Effect::Redeemed { id, result: Err(error.clone()) });
        }
    }
}

fn gone() -> KernelError {
    KernelError::Redemption("the object behind the URL no longer exists".to_owned())
}
