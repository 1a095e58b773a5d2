//! The durable store on files of the origin, in a dedicated Worker, and a store on a database of JavaScript.
#![cfg(all(target_arch = "wasm32", target_os = "unknown"))]
#![allow(clippy::unwrap_used)] // clippy knows tests by #[test] only

use std::{cell::RefCell, rc::Rc, time::Duration};

use js_sys::{Error, Function, Object, Reflect};
use ocap_remotes::{
    js::{KernelStore, delete_kernel_store, open_kernel_store, read_kernel_store_file},
    runtime::{BrowserRuntime, timeout},
    storage::{
        KeyValueStore as _, StorageBackend as _,
        opfs::{self, IfInUse, StoreName},
    },
};
use storage_evidence::History;
use wasm_bindgen::{JsCast as _, JsValue, closure::Closure};
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_dedicated_worker);

fn name(text: &str) -> StoreName {
    text.parse().unwrap()
}

/// The name and the message of what was thrown.
fn thrown<T>(result: Result<T, JsValue>) -> (String, String) {
    let error: Error = result.map(|_| ()).unwrap_err().dyn_into().unwrap();
    (error.name().into(), error.message().into())
}

fn object(entries: &[(&str, JsValue)]) -> Object {
    let object = Object::new();
    for (key, value) in entries {
        Reflect::set(&object, &(*key).into(), value).unwrap();
    }
    object
}

async fn open(entries: &[(&str, JsValue)]) -> Result<KernelStore, JsValue> {
    open_kernel_store(Some(object(entries).unchecked_into())).await
}

#[wasm_bindgen_test]
async fn rows_are_there_again_when_the_store_is_opened_again() {
    let name = name("again");
    let mut store = opfs::open(&name, IfInUse::Fail).await.unwrap();
    store.create_savepoint("outer").unwrap();
    store.set("kept", "1").unwrap();
    store.create_savepoint("inner").unwrap();
    store.set("undone", "1").unwrap();
    store.rollback_savepoint("inner").unwrap();
    store.release_savepoint("outer").unwrap();
    store.create_savepoint("never released").unwrap();
    store.set("kept", "2").unwrap();
    drop(store);
    let store = opfs::open(&name, IfInUse::Fail).await.unwrap();
    assert_eq!(store.get("kept").unwrap().as_deref(), Some("1"));
    assert_eq!(store.next_key("kept").unwrap(), None);
}

#[wasm_bindgen_test]
async fn one_at_a_time_has_a_store_and_others_may_wait() {
    let owner = open(&[("name", "owned".into())]).await.unwrap();
    let (name, message) = thrown(open(&[("name", "owned".into())]).await);
    assert_eq!(name, "StoreInUseError");
    assert!(message.contains("owned") && message.contains("ifInUse"), "{message}");
    assert_eq!(thrown(delete_kernel_store(Some("owned".into())).await).0, "StoreInUseError");

    let abort = web_sys::AbortController::new().unwrap();
    let wait = [("name", "owned".into()), ("ifInUse", "wait".into()), ("signal", abort.signal().into())];
    let limit = Duration::from_millis(50);
    let mut waiting = Box::pin(open(&wait));
    assert!(timeout(&BrowserRuntime, limit, waiting.as_mut()).await.is_none(), "it is still owned");
    abort.abort();
    assert_eq!(thrown(waiting.await).0, "AbortError");

    let wait = [("name", "owned".into()), ("ifInUse", "wait".into())];
    let mut waiting = Box::pin(open(&wait));
    assert!(timeout(&BrowserRuntime, limit, waiting.as_mut()).await.is_none(), "it is still owned");
    owner.close();
    assert!(timeout(&BrowserRuntime, Duration::from_secs(60), waiting).await.unwrap().is_ok());
}

#[wasm_bindgen_test]
async fn a_damaged_store_is_refused_with_advice_and_can_be_saved_and_deleted() {
    let backend = opfs::open_backend(&name("damaged"), IfInUse::Fail).await.unwrap();
    backend.set_len(10_000).unwrap();
    backend.write(0, b"no store at all").unwrap();
    drop(backend);
    let (error, message) = thrown(open(&[("name", "damaged".into())]).await);
    assert_eq!(error, "StoreDamagedError");
    assert!(message.contains("readKernelStoreFile") && message.contains("deleteKernelStore"), "{message}");
    let saved = read_kernel_store_file(Some("damaged".into())).await.unwrap().unwrap();
    assert!(saved.to_vec().starts_with(b"no store at all") && saved.length() == 10_000);
    delete_kernel_store(Some("damaged".into())).await.unwrap();
    assert!(read_kernel_store_file(Some("damaged".into())).await.unwrap().is_none());
    assert!(open(&[("name", "damaged".into())]).await.is_ok());
}

#[wasm_bindgen_test]
async fn wrong_options_are_named() {
    for (option, value, part) in [
        ("nmae", "x", "nmae"),
        ("name", "../x", "../x"),
        ("name", "", "names no store"),
        ("durability", "perhaps", "perhaps"),
        ("ifInUse", "steal", "steal"),
        ("signal", "stop", "signal"),
    ] {
        let (name, message) = thrown(open(&[(option, value.into())]).await);
        assert!(name == "TypeError" && message.contains(part), "{option}: {name}: {message}");
    }
    for bad in [".hidden", "a/b", "a b", &"x".repeat(65)] {
        assert!(bad.parse::<StoreName>().is_err(), "{bad:?}");
    }
}

/// A life on a file of the origin.
async fn live(history: &mut History, store: &StoreName) -> Result<(), String> {
    let backend = opfs::open_backend(store, IfInUse::Fail).await.unwrap();
    backend.set_len(0).unwrap();
    backend.write(0, history.disk()).unwrap();
    backend.sync_data().unwrap();
    history.live(backend).map(|_| ())
}

#[wasm_bindgen_test]
async fn forty_power_cuts_lose_nothing_that_was_acknowledged() {
    for seed in 100..104 {
        let mut history = History::new(seed, true);
        // The last life looks at what the tenth cut has left.
        for _ in 0..=10 {
            live(&mut history, &name("power")).await.unwrap();
        }
    }
}

#[wasm_bindgen_test]
async fn without_flushes_power_cuts_are_seen_to_lose_something() {
    let mut history = History::new(0, false);
    for _ in 0..20 {
        if live(&mut history, &name("noflush")).await.is_err() {
            return;
        }
    }
    unreachable!("a disk that does not flush loses nothing");
}

/// A JavaScript kernel's database: a map, with copies of it for savepoints. `failing` names a function that throws.
fn database(failing: &str) -> Object {
    let source = "
        let rows = new Map(), savepoints = [];
        const find = (name) => savepoints.map((one) => one.name).lastIndexOf(name);
        const database = {
          kernelKVStore: {
            get: (key) => rows.get(key),
            getNextKey: (key) => [...rows.keys()].sort().find((other) => other > key),
            set: (key, value) => { rows.set(key, value); },
            delete: (key) => { rows.delete(key); },
          },
          createSavepoint: (name) => { savepoints.push({ name, rows: new Map(rows) }); },
          rollbackSavepoint: (name) => { rows = savepoints[find(name)].rows; savepoints.length = find(name); },
          releaseSavepoint: (name) => { savepoints.length = find(name); },
          rows: () => rows.size,
        };
        database.fail = (method) => {
          const holder = method in database ? database : database.kernelKVStore;
          holder[method] = () => { throw new RangeError(`no ${method} today`); };
        };
        if (failing) database.fail(failing);
        return database;";
    let made = Function::new_with_args("failing", source).call1(&JsValue::NULL, &failing.into());
    made.unwrap().unchecked_into()
}

fn over(database: &Object) -> Result<KernelStore, JsValue> {
    KernelStore::over(database.unchecked_ref())
}

fn function(object: &Object, name: &str) -> Function {
    Reflect::get(object, &name.into()).unwrap().unchecked_into()
}

/// Replaces a function that gives rows.
fn replace(database: &Object, name: &str, function: &JsValue) {
    let rows = Reflect::get(database, &"kernelKVStore".into()).unwrap();
    Reflect::set(&rows, &name.into(), function).unwrap();
}

#[wasm_bindgen_test]
async fn a_backup_moves_from_a_file_to_a_database_of_javascript() {
    let file = name("moved");
    let mut rows = opfs::open(&file, IfInUse::Fail).await.unwrap();
    rows.set("keySeed", &"07".repeat(32)).unwrap();
    drop(rows);
    let backup = open(&[("name", "moved".into())]).await.unwrap().export().unwrap();
    let database = database("");
    over(&database).unwrap().import(&backup).unwrap();
    let rows = Reflect::get(&database, &"kernelKVStore".into()).unwrap();
    let seed = function(rows.unchecked_ref(), "get").call1(&rows, &"keySeed".into()).unwrap();
    assert_eq!(seed.as_string(), Some("07".repeat(32)));
    let (name, message) = thrown(over(&database).unwrap().import(b"{}"));
    assert!(name == "BackupError" && message.contains("whole backup"), "{name}: {message}");
}

#[wasm_bindgen_test]
fn what_a_database_throws_surfaces_and_undoes_what_it_interrupted() {
    let backup = over(&database("")).unwrap().export().unwrap();
    let database = database("");
    let mut store = over(&database).unwrap();
    function(&database, "fail").call1(&database, &"set".into()).unwrap();
    let (name, message) = thrown(store.import(&backup));
    assert!(name == "StoreError" && message.contains("RangeError: no set today"), "{name}: {message}");
    assert_eq!(function(&database, "rows").call0(&database).unwrap(), 0);
    // It is the operation that failed, not the store.
    assert!(store.export().is_ok());
}

#[wasm_bindgen_test]
fn a_database_that_lacks_a_function_or_gives_nonsense_is_refused() {
    let (name, message) = thrown(over(&Object::new()));
    assert!(name == "TypeError" && message.contains("`get`"), "{name}: {message}");
    assert_eq!(thrown(over(&database("getNextKey"))).0, "StoreError");
    let endless = database("");
    replace(&endless, "getNextKey", &Function::new_with_args("key", "return key"));
    let (name, message) = thrown(over(&endless).and_then(|store| store.export()));
    assert!(name == "StoreError" && message.contains("forward"), "{name}: {message}");
    replace(&endless, "getNextKey", &Function::new_with_args("key", "return 7"));
    assert!(thrown(over(&endless).and_then(|store| store.export())).1.contains("no text"));
}

#[wasm_bindgen_test]
fn a_database_may_not_call_what_it_serves() {
    let database = database("");
    let entered = Rc::new(RefCell::new(None));
    let (seen, again) = (Rc::clone(&entered), database.clone());
    let get = Closure::<dyn Fn(JsValue) -> JsValue>::new(move |_| {
        *seen.borrow_mut() = Some(thrown(over(&again)).0);
        JsValue::UNDEFINED
    });
    replace(&database, "get", get.as_ref());
    over(&database).unwrap().export().unwrap();
    assert_eq!(entered.borrow().as_deref(), Some("ReentrancyError"));
}

#[wasm_bindgen_test]
async fn a_store_that_was_never_made_is_no_file_and_deleted_at_once() {
    assert_eq!(opfs::read_file(&name("never-made")).await, Ok(None));
    assert_eq!(opfs::delete(&name("never-made")).await, Ok(()));
}
