//! The run queue, and the messages that wait in unresolved promises. What a queued item mentions is counted.

use std::{collections::BTreeMap, rc::Rc};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{KernelStore, StoreError};
use crate::wire::{CapData, EndpointId, Kref};

/// A message inside the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelMessage {
    /// Method and arguments.
    pub methargs: CapData<Kref>,
    /// The promise for the answer, if one is wanted.
    #[serde(default)]
    pub result: Option<Kref>,
    /// The remote that sent it, if one did. Its row does not say.
    #[serde(skip)]
    pub sender: Option<EndpointId>,
}

impl KernelMessage {
    pub(super) fn mentions(&self) -> impl Iterator<Item = Kref> + '_ {
        self.result.iter().chain(&self.methargs.slots).copied()
    }
}

/// One item of the run queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", try_from = "RunRow")]
pub enum RunItem {
    /// A message is to be delivered.
    Send {
        /// The object or promise that it is for.
        target: Kref,
        /// The message.
        message: KernelMessage,
    },
    /// An endpoint is to be told that a promise is settled.
    Notify {
        /// The endpoint.
        #[serde(rename = "endpointId")]
        endpoint: EndpointId,
        /// The promise.
        kpid: Kref,
    },
}

/// What a row of the run queue may hold. Serde's own way to read an enum by its tag keeps any JSON in memory before it looks at
/// the tag, and is 4 KB of gzip.
#[derive(Deserialize)]
struct RunRow {
    r#type: RunType,
    target: Option<Kref>,
    message: Option<KernelMessage>,
    #[serde(rename = "endpointId")]
    endpoint: Option<EndpointId>,
    kpid: Option<Kref>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum RunType {
    Send,
    Notify,
}

impl TryFrom<RunRow> for RunItem {
    type Error = &'static str;

    fn try_from(row: RunRow) -> Result<Self, Self::Error> {
        match row {
            RunRow { r#type: RunType::Send, target: Some(target), message: Some(message), .. } => {
                Ok(RunItem::Send { target, message })
            }
            RunRow { r#type: RunType::Notify, endpoint: Some(endpoint), kpid: Some(kpid), .. } => {
                Ok(RunItem::Notify { endpoint, kpid })
            }
            _ => Err("an item of the run queue lacks a member"),
        }
    }
}

impl RunItem {
    pub(super) fn mentions(&self) -> Vec<Kref> {
        match self {
            RunItem::Send { target, message } => std::iter::once(*target).chain(message.mentions()).collect(),
            RunItem::Notify { kpid, .. } => vec![*kpid],
        }
    }
}

pub(super) const RUN: &str = "run";

impl KernelStore {
    /// Appends to the run queue. While transactions are [gathered](Self::gather_transactions), an item gets a row, and what it
    /// mentions is counted, at the next commit, if it is still there: garbage must not be collected before the queue is empty.
    ///
    /// # Errors
    /// [`StoreError`], also for a mention of something that does not exist.
    pub fn enqueue_run(&mut self, item: RunItem) -> Result<(), StoreError> {
        if self.gathers_transactions() {
            self.fresh_items.push_back(Rc::new(item));
            return Ok(());
        }
        self.enqueue_row(&item)
    }

    fn enqueue_row(&mut self, item: &RunItem) -> Result<(), StoreError> {
        for kref in item.mentions() {
            self.add_reference(kref)?;
        }
        self.push(RUN, item)?;
        self.stored_items = self.stored_items.saturating_add(1);
        Ok(())
    }

    pub(super) fn run_queue_rows(&self) -> Result<u64, StoreError> {
        self.length(RUN)
    }

    pub(super) fn store_fresh_items(&mut self) -> Result<(), StoreError> {
        while let Some(item) = self.fresh_items.pop_front() {
            self.enqueue_row(&item)?;
        }
        Ok(())
    }

    /// Takes the oldest item from the run queue. What it mentions is not counted any more, but is safe until the next
    /// [`collect_garbage`](Self::collect_garbage).
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn dequeue_run(&mut self) -> Result<Option<RunItem>, StoreError> {
        if self.stored_items == 0 {
            self.order_notifications()?;
            return Ok(self.fresh_items.pop_front().map(Rc::unwrap_or_clone));
        }
        let popped = self.pop::<RunItem>(RUN)?;
        // Some that cannot be read may have gone before it.
        self.stored_items = self.run_queue_rows()?;
        let Some((_, item)) = popped else { return self.dequeue_run() };
        for kref in item.mentions() {
            match self.release_reference(kref) {
                Err(error) if error.is_damage() => {
                    tracing::error!(%error, "what a queued item mentions cannot be counted");
                }
                released => released?,
            }
        }
        Ok(Some(item))
    }

    /// Puts the notifications at the front in order: whoever is told what a promise became is thereby given the promises in
    /// its value, forgets the promise, and is told of those. Told of them before, it would have forgotten them and been told again,
    /// and of all that they lead to; so what leads to others comes before them, and everybody hears of everything once.
    fn order_notifications(&mut self) -> Result<(), StoreError> {
        if self.fresh_items.ordered > 0 {
            return Ok(());
        }
        let mut told: BTreeMap<EndpointId, Vec<Kref>> = BTreeMap::new();
        while let Some(RunItem::Notify { endpoint, kpid }) = self.fresh_items.front() {
            let (endpoint, kpid) = (*endpoint, *kpid);
            self.fresh_items.pop_front();
            // Else it was told already, as part of something else, or has let go of it.
            if self.entry(endpoint, kpid)?.is_some() {
                told.entry(endpoint).or_default().push(kpid);
            }
        }
        let mut ordered = 0_usize;
        for (endpoint, krefs) in told.into_iter().rev() {
            for kpid in self.outcomes.last_first(&krefs) {
                self.fresh_items.push_front(Rc::new(RunItem::Notify { endpoint, kpid }));
                ordered = ordered.saturating_add(1);
            }
        }
        self.fresh_items.ordered = ordered;
        Ok(())
    }

    /// How many items the run queue holds.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn run_queue_length(&self) -> Result<u64, StoreError> {
        Ok(self.run_queue_rows()?.saturating_add(self.fresh_items.len() as u64))
    }

    /// How many messages wait in a promise.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn promise_queue_length(&self, kpid: Kref) -> Result<u64, StoreError> {
        self.length(&kpid.to_string())
    }

    /// Forgets a queue that is empty.
    pub(super) fn delete_queue(&mut self, name: &str) -> Result<(), StoreError> {
        self.delete(&end_key(name, Head))?;
        self.delete(&end_key(name, Tail))
    }

    fn length(&self, name: &str) -> Result<u64, StoreError> {
        let (head, tail) = (self.end(name, Head)?, self.end(name, Tail)?);
        head.checked_sub(tail).ok_or_else(|| StoreError::corrupt(&end_key(name, Head), &head.to_string()))
    }

    fn end(&self, name: &str, end: End) -> Result<u64, StoreError> {
        Ok(self.number(&end_key(name, end))?.unwrap_or(1))
    }

    /// Appends to a queue, and answers the position.
    pub(super) fn push(&mut self, name: &str, item: &impl Serialize) -> Result<u64, StoreError> {
        let position = self.count_up(&end_key(name, Head))?;
        self.set_json(&format!("queue.{name}.{position}"), item)?;
        Ok(position)
    }

    /// Takes the first item of a queue, with its position. One that cannot be read is set aside: the next ones do not wait for it.
    pub(super) fn pop<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<(u64, T)>, StoreError> {
        while self.length(name)? > 0 {
            let position = self.count_up(&end_key(name, Tail))?;
            let key = format!("queue.{name}.{position}");
            match self.json(&key).and_then(|item| item.ok_or_else(|| StoreError::corrupt(&key, ""))) {
                Ok(item) => {
                    self.delete(&key)?;
                    return Ok(Some((position, item)));
                }
                Err(error) if error.is_damage() => {
                    tracing::error!(%error, "a queued item cannot be read, and is set aside");
                    self.set_aside(&key)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

use End::{Head, Tail};

/// Where the next item is written, and where the next is read: the incumbent's head and tail. Both start at 1.
#[derive(Clone, Copy)]
enum End {
    Head,
    Tail,
}

fn end_key(name: &str, end: End) -> String {
    format!("queue.{name}.{}", if matches!(end, Head) { "head" } else { "tail" })
}

#[cfg(test)]
mod tests {
    use super::super::{KernelMessage, KernelStore, RefError, RunItem, StoreError};
    use crate::storage::{KeyValueStore as _, MemoryStore, StorageError};
    use crate::wire::{CapData, EndpointId, Kref};

    const BOB: EndpointId = EndpointId::Remote(1);

    fn new_store() -> KernelStore {
        KernelStore::open(Box::new(MemoryStore::new())).unwrap()
    }

    #[test]
    fn items_are_spelled_as_the_incumbent_spells_them() {
        let mut store = new_store();
        let target = store.translate_inbound_ref(BOB, "ro+1".parse().unwrap()).unwrap();
        let result = store.create_promise().unwrap();
        let methargs = CapData { body: "#[]".into(), slots: vec![target, target] };
        let send = RunItem::Send { target, message: KernelMessage { methargs, result: Some(result), sender: None } };
        let notify = RunItem::Notify { endpoint: BOB, kpid: result };
        store.enqueue_run(send.clone()).unwrap();
        store.enqueue_run(notify.clone()).unwrap();
        let row = |key: &str| store.get(key).unwrap();
        assert_eq!(
            row("queue.run.1").as_deref(),
            Some(
                r##"{"type":"send","target":"ko1","message":{"methargs":{"body":"#[]","slots":["ko1","ko1"]},"result":"kp1"}}"##
            )
        );
        assert_eq!(row("queue.run.2").as_deref(), Some(r#"{"type":"notify","endpointId":"r1","kpid":"kp1"}"#));
        assert_eq!(row("queue.run.head").as_deref(), Some("3"));
        assert_eq!(row("ko1.refCount").as_deref(), Some("3,3"), "once as target, twice as slot");
        assert_eq!(row("kp1.refCount").as_deref(), Some("3"));
        assert_eq!(store.run_queue_length().unwrap(), 2);
        store.audit().unwrap();

        assert_eq!(store.dequeue_run().unwrap(), Some(send));
        assert_eq!(store.dequeue_run().unwrap(), Some(notify));
        assert_eq!(store.dequeue_run().unwrap(), None);
        assert_eq!(store.get("queue.run.tail").unwrap().as_deref(), Some("3"));
        assert_eq!(store.get("queue.run.1").unwrap(), None);
        store.audit().unwrap();
    }

    #[test]
    fn gathered_items_get_rows_only_if_they_outlive_the_group() {
        let mut store = new_store();
        store.gather_transactions();
        let notify = |kpid| RunItem::Notify { endpoint: BOB, kpid };
        let (one, two) = store
            .transaction("turn", |store| {
                let (one, two) = (store.create_promise()?, store.create_promise()?);
                for kpid in [one, two] {
                    store.translate_outbound_ref(BOB, kpid)?;
                }
                store.enqueue_run(notify(one))?;
                store.enqueue_run(notify(two))?;
                Ok::<_, StoreError>((one, two))
            })
            .unwrap();
        let rolled_back: Result<(), StoreError> = store.transaction("turn", |store| {
            store.dequeue_run()?;
            Err(StorageError::Full.into())
        });
        assert!(rolled_back.is_err());
        assert_eq!(store.transaction("turn", KernelStore::dequeue_run).unwrap(), Some(notify(one)));
        store.commit().unwrap();
        assert_eq!(
            store.get("queue.run.1").unwrap().as_deref(),
            Some(r#"{"type":"notify","endpointId":"r1","kpid":"kp2"}"#)
        );
        store.audit().unwrap();
        assert_eq!(store.transaction("turn", KernelStore::dequeue_run).unwrap(), Some(notify(two)));
    }

    #[test]
    fn a_message_about_nothing_is_refused() {
        let mut store = new_store();
        let gone = Kref::object(4);
        let message =
            KernelMessage { methargs: CapData { body: String::new(), slots: vec![] }, result: None, sender: None };
        let refused = store.enqueue_run(RunItem::Send { target: gone, message: message.clone() });
        assert_eq!(refused, Err(StoreError::UnknownKref(gone)));
        let unknown = Kref::promise(4);
        assert_eq!(store.enqueue_promise_message(unknown, &message), Err(RefError::UnknownPromise(unknown)));
    }

    #[test]
    fn corrupt_queues_are_errors() {
        let opened = |rows: &[(&str, &str)]| {
            let mut kv = MemoryStore::new();
            rows.iter().for_each(|(key, value)| kv.set(key, value).unwrap());
            KernelStore::open(Box::new(kv))
        };
        let backwards = opened(&[("queue.run.head", "1"), ("queue.run.tail", "2")]);
        assert!(matches!(backwards, Err(StoreError::Corrupt { .. })));
    }

    #[test]
    fn an_item_that_cannot_be_read_is_set_aside_and_the_next_is_taken() {
        let next = r#"{"type":"notify","endpointId":"r1","kpid":"kp1"}"#;
        for row in [r#"{"type":"explode"}"#, r#"{"type":"send","target":"ko1"}"#, r#"{"type":"notify","kpid":"kp1"}"#] {
            let mut kv = MemoryStore::new();
            let rows = [("head", "5"), ("tail", "2"), ("2", row), ("4", next)];
            rows.iter().for_each(|(key, value)| kv.set(&format!("queue.run.{key}"), value).unwrap());
            let mut store = KernelStore::open(Box::new(kv)).unwrap();
            let item = RunItem::Notify { endpoint: EndpointId::Remote(1), kpid: Kref::promise(1) };
            assert_eq!(store.dequeue_run().unwrap(), Some(item), "number 3 is missing, and nothing counts the promise");
            assert_eq!((store.dequeue_run().unwrap(), store.run_queue_length().unwrap()), (None, 0));
            assert_eq!(store.get("setAside.queue.run.2").unwrap().as_deref(), Some(row));
        }
    }
}
