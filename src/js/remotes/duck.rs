//! Objects of JavaScript that are known by the names of their functions.

use js_sys::{Array, Function, Object, Promise, Reflect};
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;

use crate::js::error::type_error;
pub(super) use crate::runtime::objects::member;

/// An object whose functions are called by name, each time as they are then.
#[derive(Clone)]
pub(super) struct Duck {
    object: JsValue,
    what: &'static str,
}

/// The array of these.
pub(super) fn array(items: impl IntoIterator<Item = JsValue>) -> JsValue {
    items.into_iter().collect::<Array>().into()
}

/// An object with these members; those that are undefined are left out.
pub(super) fn object(members: &[(&str, JsValue)]) -> JsValue {
    let object = Object::new();
    for (name, value) in members.iter().filter(|(_, value)| !value.is_undefined()) {
        // A plain object takes any property.
        Reflect::set(&object, &(*name).into(), value).ok();
    }
    object.into()
}

impl Duck {
    /// Takes an object that has at least these functions; `what` names it in errors.
    pub(super) fn new(object: JsValue, what: &'static str, functions: &[&str]) -> Result<Self, JsValue> {
        if !object.is_object() {
            return Err(type_error(&format!("{what} must be an object")));
        }
        let duck = Duck { object, what };
        match functions.iter().find(|name| !duck.has(name)) {
            Some(missing) => Err(type_error(&format!("{what} has no function `{missing}`"))),
            None => Ok(duck),
        }
    }

    pub(super) fn has(&self, function: &str) -> bool {
        member(&self.object, function).is_function()
    }

    pub(super) fn value(&self) -> JsValue {
        self.object.clone()
    }

    /// Calls a function.
    ///
    /// # Errors
    /// What it throws; a `TypeError` if there is none.
    pub(super) fn call(&self, name: &str, arguments: &[JsValue]) -> Result<JsValue, JsValue> {
        let function: Function = member(&self.object, name)
            .dyn_into()
            .map_err(|_| type_error(&format!("{} has no function `{name}`", self.what)))?;
        function.apply(&self.object, &arguments.iter().collect())
    }

    /// Calls a function that answers at once or with a promise. It is called before this returns.
    pub(super) fn ask(
        &self,
        name: &str,
        arguments: &[JsValue],
    ) -> impl Future<Output = Result<JsValue, JsValue>> + 'static {
        let answer = self.call(name, arguments);
        async move { JsFuture::from(Promise::resolve(&answer?)).await }
    }

    /// The error for an answer that is not what it should be.
    pub(super) fn bad_answer(&self, name: &str, expected: &str) -> JsValue {
        type_error(&format!("{}.{name} gave something that is no {expected}", self.what))
    }
}
