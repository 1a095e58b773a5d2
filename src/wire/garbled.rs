//! Commands with a number that cannot be read all the same, and who is to be told of it.

use serde_json::Value;

use super::{Delivery, Eref, RefKind, RemoteCommand, WireError, surrogates::without_lone_surrogates};

/// A command that cannot be carried out as it was meant, nor as anything else: it is of no known kind, something in it has another
/// form than it must, or a text in it is none, for it holds a lone surrogate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Garbled {
    /// The method on the wire.
    pub method: String,
    /// The JSON text of its parameters.
    pub params: String,
    /// What is wrong with it, in at most 200 characters.
    pub reason: String,
    /// Who waits for what comes of it.
    pub concerns: Concerns,
}

/// Who waits for what comes of a command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Concerns {
    /// Nobody, or that cannot be read.
    #[default]
    Nobody,
    /// Its sender, for the result of a message in this promise.
    Result(Eref),
    /// The receiver, for what becomes of these promises.
    Promises(Vec<Eref>),
    /// Its sender, for the reply to a request with this key.
    Request(String),
    /// The receiver, for this reply, which has the key of its request.
    Reply(String),
}

impl Garbled {
    /// A command that cannot be read, for a reason or for a lone surrogate.
    pub(super) fn new(method: &str, params: &str, reason: &impl ToString) -> Self {
        let lossy = without_lone_surrogates(params);
        let reason = match lossy {
            Some(_) => "a text holds a lone surrogate, which stands for no character".to_owned(),
            None => reason.to_string().chars().take(200).collect(),
        };
        let concerns = Concerns::of_unreadable(method, lossy.as_deref().unwrap_or(params));
        Garbled { method: method.to_owned(), params: params.to_owned(), reason, concerns }
    }

    /// A command in a message of which another part cannot be read.
    pub(super) fn because(command: RemoteCommand, params: &str, error: &WireError) -> Self {
        let method = command.method().to_owned();
        let concerns = command.concerns();
        Garbled { method, params: params.to_owned(), reason: error.to_string().chars().take(200).collect(), concerns }
    }
}

impl Concerns {
    fn of_unreadable(method: &str, params: &str) -> Self {
        let params: Vec<Value> = serde_json::from_str(params).unwrap_or_default();
        let text = |place: usize| params.get(place).and_then(Value::as_str);
        let promise = |value: Option<&Value>| {
            let eref = value.and_then(Value::as_str).and_then(|name| Eref::parse_remote(name).ok());
            eref.filter(|eref| eref.kind == RefKind::Promise)
        };
        match (method, text(0)) {
            ("deliver", Some("message")) => promise(params.get(2).and_then(|message| message.get("result")))
                .map_or(Concerns::Nobody, Concerns::Result),
            ("deliver", Some("notify")) => {
                let resolutions = params.get(1).and_then(Value::as_array).into_iter().flatten();
                Concerns::Promises(resolutions.filter_map(|resolution| promise(resolution.get(0))).collect())
            }
            ("redeemURL", _) => text(1).map_or(Concerns::Nobody, |key| Concerns::Request(key.to_owned())),
            ("redeemURLReply", _) => text(1).map_or(Concerns::Nobody, |key| Concerns::Reply(key.to_owned())),
            _ => Concerns::Nobody,
        }
    }
}

impl RemoteCommand {
    /// Who waits for what comes of it.
    pub fn concerns(&self) -> Concerns {
        match self {
            RemoteCommand::Deliver(Delivery::Message { result: Some(result), .. }) => Concerns::Result(*result),
            RemoteCommand::Deliver(delivery @ Delivery::Notify(_)) => Concerns::Promises(delivery.settled()),
            RemoteCommand::Deliver(_) => Concerns::Nobody,
            RemoteCommand::RedeemUrl { reply_key, .. } => Concerns::Request(reply_key.clone()),
            RemoteCommand::RedeemUrlReply { reply_key, .. } => Concerns::Reply(reply_key.clone()),
            RemoteCommand::Garbled(garbled) => garbled.concerns.clone(),
        }
    }
}
