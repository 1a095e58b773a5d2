//! A JavaScript kernel's own database as the storage of our kernel store.

use std::cell::Cell;

use wasm_bindgen::prelude::*;

use crate::{
    js::error::type_error,
    runtime::{
        objects::{has_functions, member},
        thrown,
    },
    storage::{KeyValueStore, StorageError},
};

#[wasm_bindgen]
extern "C" {
    type KeyValues;

    #[wasm_bindgen(method, catch)]
    fn get(this: &KeyValues, key: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = getNextKey)]
    fn get_next_key(this: &KeyValues, key: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn set(this: &KeyValues, key: &str, value: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn delete(this: &KeyValues, key: &str) -> Result<JsValue, JsValue>;

    type Savepoints;

    #[wasm_bindgen(method, catch, js_name = createSavepoint)]
    fn create_savepoint(this: &Savepoints, name: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = rollbackSavepoint)]
    fn rollback_savepoint(this: &Savepoints, name: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = releaseSavepoint)]
    fn release_savepoint(this: &Savepoints, name: &str) -> Result<JsValue, JsValue>;
}

thread_local! {
    static IN_DATABASE: Cell<bool> = const { Cell::new(false) };
}

/// Whether JavaScript is running because this end asked its database for something: it may not call back in then.
pub(in crate::js) fn is_being_asked() -> bool {
    IN_DATABASE.get()
}

/// A database of JavaScript functions. What they throw is the error of the operation and nothing else.
pub(super) struct JsDatabase {
    rows: KeyValues,
    savepoints: Savepoints,
}

impl JsDatabase {
    /// Takes an object that has every function, or one whose `kernelKVStore` has those for rows.
    pub(super) fn new(database: &JsValue) -> Result<Self, JsValue> {
        let inner = member(database, "kernelKVStore");
        let rows = if inner.is_object() { inner } else { database.clone() };
        for (object, methods) in [
            (&rows, &["get", "getNextKey", "set", "delete"][..]),
            (database, &["createSavepoint", "rollbackSavepoint", "releaseSavepoint"]),
        ] {
            for method in methods {
                if !has_functions(object, &[method]) {
                    return Err(type_error(&format!("the database has no function `{method}`")));
                }
            }
        }
        Ok(JsDatabase { rows: rows.unchecked_into(), savepoints: database.clone().unchecked_into() })
    }

    fn ask<T>(&self, what: &str, call: impl FnOnce(&Self) -> Result<T, JsValue>) -> Result<T, StorageError> {
        IN_DATABASE.set(true);
        let answer = call(self);
        IN_DATABASE.set(false);
        answer.map_err(|thrown| StorageError::Io(format!("{what} threw {}", describe(&thrown))))
    }

    /// Calls what must be done when it returns. A promise would be kept, or broken, later than its result is relied on.
    fn tell(&self, what: &str, call: impl FnOnce(&Self) -> Result<JsValue, JsValue>) -> Result<(), StorageError> {
        let answer = self.ask(what, call)?;
        match answer.is_object() && has_functions(&answer, &["then"]) {
            true => Err(StorageError::Io(format!("{what} gave a promise; it must be done when it returns"))),
            false => Ok(()),
        }
    }

    fn ask_for_text(
        &self,
        what: &str,
        call: impl FnOnce(&Self) -> Result<JsValue, JsValue>,
    ) -> Result<Option<String>, StorageError> {
        let answer = self.ask(what, call)?;
        match answer.as_string() {
            Some(text) => Ok(Some(text)),
            None if answer.is_undefined() || answer.is_null() => Ok(None),
            None => Err(StorageError::Io(format!("{what} gave something that is no text"))),
        }
    }
}

fn describe(thrown: &JsValue) -> String {
    let (name, message) = thrown::name_and_message(thrown);
    format!("{name}: {message}")
}

impl KeyValueStore for JsDatabase {
    fn get(&self, key: &str) -> Result<Option<String>, StorageError> {
        self.ask_for_text("get", |database| database.rows.get(key))
    }

    fn next_key(&self, key: &str) -> Result<Option<String>, StorageError> {
        let next = self.ask_for_text("getNextKey", |database| database.rows.get_next_key(key))?;
        match next {
            // Whoever looks for all keys would never come to an end.
            Some(next) if *next <= *key => Err(StorageError::Io("getNextKey does not go forward".into())),
            next => Ok(next),
        }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), StorageError> {
        self.tell("set", |database| database.rows.set(key, value))
    }

    fn delete(&mut self, key: &str) -> Result<(), StorageError> {
        self.tell("delete", |database| database.rows.delete(key))
    }

    fn create_savepoint(&mut self, name: &str) -> Result<(), StorageError> {
        self.tell("createSavepoint", |database| database.savepoints.create_savepoint(name))
    }

    fn rollback_savepoint(&mut self, name: &str) -> Result<(), StorageError> {
        self.tell("rollbackSavepoint", |database| database.savepoints.rollback_savepoint(name))
    }

    fn release_savepoint(&mut self, name: &str) -> Result<(), StorageError> {
        self.tell("releaseSavepoint", |database| database.savepoints.release_savepoint(name))
    }
}
