//! Our remotes and our transport in a JavaScript kernel; the stories are JavaScript's.

use ocap_remotes::js::{KernelRecords, KernelStore, RemoteManager, init_transport};
use wasm_bindgen::prelude::*;
use wasm_bindgen_test::wasm_bindgen_test;

type Make = Closure<dyn Fn(JsValue) -> Result<JsValue, JsValue>>;

#[wasm_bindgen(module = "/javascript_kernel/stories.js")]
extern "C" {
    #[wasm_bindgen(catch, js_name = whatIsMissingIsNamed)]
    fn what_is_missing_is_named(make: &Make) -> Result<(), JsValue>;
    #[wasm_bindgen(catch, js_name = whatAKernelDeliversIsWrittenInOrder)]
    async fn what_a_kernel_delivers_is_written_in_order(make: &Make) -> Result<(), JsValue>;
    #[wasm_bindgen(catch, js_name = whatAPeerSendsIsQueuedTranslated)]
    async fn what_a_peer_sends_is_queued_translated(make: &Make, records: &Make) -> Result<(), JsValue>;
    #[wasm_bindgen(catch, js_name = whatIsThrownIsTheErrorAndUndoes)]
    async fn what_is_thrown_is_the_error_and_undoes(make: &Make, records: &Make) -> Result<(), JsValue>;
    #[wasm_bindgen(catch, js_name = aCallFromWithinIsAnError)]
    async fn a_call_from_within_is_an_error(make: &Make) -> Result<(), JsValue>;
    #[wasm_bindgen(catch, js_name = whatIsDoneInACrankLeavesAfterIt)]
    async fn what_is_done_in_a_crank_leaves_after_it(make: &Make) -> Result<(), JsValue>;
    #[wasm_bindgen(catch, js_name = aPeerThatRestartedIsForgotten)]
    async fn a_peer_that_restarted_is_forgotten(make: &Make) -> Result<(), JsValue>;
    #[wasm_bindgen(catch, js_name = aPeerThatIsLostIsGivenUp)]
    async fn a_peer_that_is_lost_is_given_up(make: &Make) -> Result<(), JsValue>;
    #[wasm_bindgen(catch, js_name = anIdentityIsMadeOnce)]
    async fn an_identity_is_made_once(make: &Make) -> Result<(), JsValue>;
    #[wasm_bindgen(catch, js_name = aTransportIsFunctions)]
    async fn a_transport_is_functions(init_transport: &JsValue) -> Result<(), JsValue>;
}

fn make() -> Make {
    Closure::new(|options: JsValue| RemoteManager::new(options.unchecked_into()).map(JsValue::from))
}

fn records() -> Make {
    Closure::new(|database: JsValue| {
        KernelStore::over(database.unchecked_ref()).map(|store| KernelRecords::new(store).into())
    })
}

#[wasm_bindgen_test]
fn a_part_that_lacks_a_function_is_refused_by_name() -> Result<(), JsValue> {
    what_is_missing_is_named(&make())
}

#[wasm_bindgen_test]
async fn every_delivery_of_a_javascript_kernel_is_written_in_order() -> Result<(), JsValue> {
    what_a_kernel_delivers_is_written_in_order(&make()).await
}

#[wasm_bindgen_test]
async fn what_a_peer_sends_reaches_the_queue_of_a_javascript_kernel() -> Result<(), JsValue> {
    what_a_peer_sends_is_queued_translated(&make(), &records()).await
}

#[wasm_bindgen_test]
async fn what_a_javascript_kernel_throws_is_the_error_and_undoes() -> Result<(), JsValue> {
    what_is_thrown_is_the_error_and_undoes(&make(), &records()).await
}

#[wasm_bindgen_test]
async fn a_javascript_kernel_that_calls_back_meets_an_error_and_no_crash() -> Result<(), JsValue> {
    a_call_from_within_is_an_error(&make()).await
}

#[wasm_bindgen_test]
async fn a_crank_of_a_javascript_kernel_counts_whole_or_not_at_all() -> Result<(), JsValue> {
    what_is_done_in_a_crank_leaves_after_it(&make()).await
}

#[wasm_bindgen_test]
async fn a_javascript_kernel_forgets_a_peer_that_restarted() -> Result<(), JsValue> {
    a_peer_that_restarted_is_forgotten(&make()).await
}

#[wasm_bindgen_test]
async fn a_javascript_kernel_gives_up_a_peer_that_is_lost() -> Result<(), JsValue> {
    a_peer_that_is_lost_is_given_up(&make()).await
}

#[wasm_bindgen_test]
async fn a_javascript_kernel_has_one_identity() -> Result<(), JsValue> {
    an_identity_is_made_once(&make()).await
}

#[wasm_bindgen_test]
async fn a_transport_is_functions_that_need_no_this() -> Result<(), JsValue> {
    let start = |arguments: js_sys::Array| {
        let optional = |index| Some(arguments.get(index)).filter(|value| !value.is_undefined());
        let started = init_transport(
            arguments.get(0).as_string().unwrap_or_default(),
            arguments.get(1).unchecked_into(),
            arguments.get(2).unchecked_into(),
            optional(3).map(JsCast::unchecked_into),
            optional(4).and_then(|text| text.as_string()),
            optional(5).map(JsCast::unchecked_into),
        );
        wasm_bindgen_futures::future_to_promise(async move { started.await.map(JsValue::from) })
    };
    let start = Closure::<dyn Fn(js_sys::Array) -> js_sys::Promise>::new(start);
    let spread = js_sys::Function::new_with_args("start", "return (...given) => start(given)");
    let start = spread.call1(&JsValue::UNDEFINED, start.as_ref()).unwrap();
    a_transport_is_functions(&start).await
}
