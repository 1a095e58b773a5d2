//! Translation of references at the border of an endpoint. Signs stand as in the endpoint's own c-list: turning them for
//! the wire is left to the caller.

use super::{KernelStore, RefError, StoreError, clist::insist_kind};
use crate::wire::{Direction, EndpointId, Eref, Kref};

impl KernelStore {
    /// What an endpoint means by a reference in its message. Its own exports are created on first sight.
    ///
    /// A dropped reference is good again when it is mentioned, because a drop may cross a message that gives the same thing
    /// anew. It is not when the owner was told that nobody reaches the object, nor when it was given to a dead incarnation only.
    ///
    /// # Errors
    /// [`RefError::UnknownReference`] for an import that the endpoint does not have, [`RefError::WrongKind`],
    /// [`RefError::Store`].
    pub fn translate_inbound_ref(&mut self, endpoint: EndpointId, eref: Eref) -> Result<Kref, RefError> {
        insist_kind(endpoint, eref)?;
        let Some(kref) = self.eref_to_kref(endpoint, eref)? else {
            return self.export_eref(endpoint, eref);
        };
        let entry = self.entry(endpoint, kref)?.filter(|entry| entry.eref == eref);
        let Some(entry) = entry else {
            if kref.is_promise() {
                // The name is retiring, and the endpoint had not heard of that.
                return Ok(kref);
            }
            return Err(StoreError::corrupt(&format!("{endpoint}.c.{eref}"), &kref.to_string()).into());
        };
        if !entry.reachable {
            if eref.direction == Direction::Import
                && (self.is_former(endpoint, kref, eref)? || !self.can_be_reached_again(kref)?)
            {
                return Err(RefError::UnknownReference { endpoint, eref });
            }
            self.set_reachable(endpoint, kref, entry)?;
            // An owner that mentions its export again may be the only one to do so.
            self.uncollected.maybe_free.insert(kref);
        }
        Ok(kref)
    }

    /// An endpoint's name for `kref`, newly given if it has none; the endpoint reaches it from now on.
    ///
    /// # Errors
    /// [`StoreError`], also when there is no such object or promise.
    pub fn translate_outbound_ref(&mut self, endpoint: EndpointId, kref: Kref) -> Result<Eref, StoreError> {
        match self.entry(endpoint, kref)? {
            None => self.import_kref(endpoint, kref),
            Some(entry) => {
                self.set_reachable(endpoint, kref, entry)?;
                Ok(entry.eref)
            }
        }
    }

    fn can_be_reached_again(&self, kref: Kref) -> Result<bool, StoreError> {
        let others = self.object_counts(kref)?.is_some_and(|counts| counts.reachable > 0);
        let owner = self.owner(kref)?;
        let owner_reaches = match owner.and_then(|owner| owner.endpoint()) {
            Some(owner) => self.is_reachable(owner, kref)?.unwrap_or(false),
            None => owner.is_some(),
        };
        Ok(others || owner_reaches)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{KernelStore, RefError};
    use crate::storage::MemoryStore;
    use crate::wire::{EndpointId, Eref};

    const PROGRAM: EndpointId = EndpointId::Vat(1);
    const BOB: EndpointId = EndpointId::Remote(1);

    fn new_store() -> KernelStore {
        KernelStore::open(Box::new(MemoryStore::new())).unwrap()
    }

    fn eref(text: &str) -> Eref {
        text.parse().unwrap()
    }

    #[test]
    fn an_export_is_created_once_and_an_unknown_import_refused() {
        let mut store = new_store();
        let kref = store.translate_inbound_ref(BOB, eref("ro+1")).unwrap();
        assert_eq!(store.translate_inbound_ref(BOB, eref("ro+1")).unwrap(), kref);
        for unknown in ["ro-1", "rp-1"] {
            let refused = RefError::UnknownReference { endpoint: BOB, eref: eref(unknown) };
            assert_eq!(store.translate_inbound_ref(BOB, eref(unknown)), Err(refused));
        }
        let refused = RefError::WrongKind { endpoint: BOB, eref: eref("o+1") };
        assert_eq!(store.translate_inbound_ref(BOB, eref("o+1")), Err(refused));
    }

    #[test]
    fn what_bob_was_given_comes_home_as_the_programs_own() {
        let mut store = new_store();
        let kref = store.translate_inbound_ref(PROGRAM, eref("o+1")).unwrap();
        let given = store.translate_outbound_ref(BOB, kref).unwrap();
        assert_eq!(given, eref("ro-1"));
        assert_eq!(store.translate_outbound_ref(BOB, kref).unwrap(), given);
        assert_eq!(store.translate_inbound_ref(BOB, given).unwrap(), kref);
        assert_eq!(store.translate_outbound_ref(PROGRAM, kref).unwrap(), eref("o+1"));
        store.audit().unwrap();
    }

    #[test]
    fn a_dropped_reference_is_good_again_when_it_is_given_again() {
        let mut store = new_store();
        let kref = store.translate_inbound_ref(PROGRAM, eref("o+1")).unwrap();
        let given = store.translate_outbound_ref(BOB, kref).unwrap();
        store.drop_imports(BOB, &[given]).unwrap();
        assert_eq!(store.get("r1.c.ko1").unwrap().as_deref(), Some("_ ro-1"));
        assert_eq!(store.get("ko1.refCount").unwrap().as_deref(), Some("0,1"));
        assert_eq!(store.translate_outbound_ref(BOB, kref).unwrap(), given);
        assert_eq!(store.get("ko1.refCount").unwrap().as_deref(), Some("1,1"));
        store.audit().unwrap();
    }

    #[test]
    fn a_dropped_reference_is_good_again_unless_its_owner_was_told() {
        let mut store = new_store();
        let kref = store.translate_inbound_ref(PROGRAM, eref("o+1")).unwrap();
        let given = store.translate_outbound_ref(BOB, kref).unwrap();
        store.drop_imports(BOB, &[given]).unwrap();
        assert_eq!(store.translate_inbound_ref(BOB, given), Ok(kref));
        store.drop_imports(BOB, &[given]).unwrap();
        store.collect_garbage().unwrap();
        assert_eq!(
            store.translate_inbound_ref(BOB, given),
            Err(RefError::UnknownReference { endpoint: BOB, eref: given })
        );
        store.audit().unwrap();
    }
}
