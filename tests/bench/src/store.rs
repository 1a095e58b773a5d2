//! What a store costs, by the same work that `store-worker.mjs` gives to SQLite.

use ocap_remotes::storage::{
    KeyValueStore, MemoryStore,
    opfs::{self, IfInUse},
};
use wasm_bindgen::prelude::*;

/// Messages that are unacknowledged at any time.
const QUEUE: u32 = 200;

/// A store under measurement.
#[wasm_bindgen]
pub struct StoreBench {
    store: Box<dyn KeyValueStore>,
    message: String,
    seq: u32,
}

#[wasm_bindgen]
impl StoreBench {
    /// On a file of the origin.
    pub async fn durable(name: String) -> StoreBench {
        let store = opfs::open(&name.parse().unwrap(), IfInUse::Fail).await.unwrap();
        StoreBench::on(Box::new(store))
    }

    /// In memory.
    pub fn memory() -> StoreBench {
        StoreBench::on(Box::new(MemoryStore::new()))
    }

    fn on(store: Box<dyn KeyValueStore>) -> Self {
        StoreBench { store, message: "m".repeat(200), seq: 0 }
    }

    /// Rows of 100 bytes, in one transaction.
    pub fn fill(&mut self, rows: u32) {
        let value = "x".repeat(100);
        self.store.create_savepoint("fill").unwrap();
        for number in 0..rows {
            self.store.set(&format!("row.{number}"), &value).unwrap();
        }
        self.store.release_savepoint("fill").unwrap();
    }

    /// A savepoint around four puts and a delete, so many times: a message in, an old one out, and three counters.
    pub fn transactions(&mut self, count: u32) {
        for _ in 0..count {
            let seq = self.seq;
            self.seq += 1;
            self.store.create_savepoint("turn").unwrap();
            self.store.set(&format!("remotePending.r1.{seq}"), &self.message).unwrap();
            self.store.set("remoteSeq.r1.nextSendSeq", &seq.to_string()).unwrap();
            self.store.set("remoteSeq.r1.highestReceivedSeq", &seq.to_string()).unwrap();
            self.store.set("queue.run.head", &seq.to_string()).unwrap();
            self.store.delete(&format!("remotePending.r1.{}", seq.wrapping_sub(QUEUE))).unwrap();
            self.store.release_savepoint("turn").unwrap();
        }
    }

    /// Messages through the queue, a batch in each transaction.
    pub fn messages(&mut self, count: u32, batch: u32) {
        for _ in 0..count / batch {
            self.store.create_savepoint("batch").unwrap();
            for _ in 0..batch {
                let seq = self.seq;
                self.seq += 1;
                self.store.set(&format!("remotePending.r1.{seq}"), &self.message).unwrap();
                self.store.set("remoteSeq.r1.nextSendSeq", &seq.to_string()).unwrap();
                self.store.delete(&format!("remotePending.r1.{}", seq.wrapping_sub(QUEUE))).unwrap();
            }
            self.store.release_savepoint("batch").unwrap();
        }
    }

    /// Reads rows, far from each other one after the other; gives the sum of their lengths.
    pub fn gets(&self, count: u32, rows: u32) -> usize {
        let get = |nth: u32| self.store.get(&format!("row.{}", nth.wrapping_mul(7919) % rows)).unwrap();
        (0..count).map(|nth| get(nth).unwrap().len()).sum()
    }

    /// Closes it.
    pub fn close(self) {}
}
