//! What one kernel asks of another (protocol §4).

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, SeqAccess, Visitor},
    ser::SerializeTuple,
};

use super::{Concerns, Direction, Eref, Garbled, surrogates::without_lone_surrogates};

/// Marshalled data: an opaque body, and the references that it mentions by position.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CapData<R> {
    /// The body; never looked into.
    pub body: String,
    /// The references.
    pub slots: Vec<R>,
}

impl<R> CapData<R> {
    /// Translates every slot, stopping at the first that cannot be.
    ///
    /// # Errors
    /// Whatever `translate` answers.
    pub fn try_map<T, E>(self, translate: impl FnMut(R) -> Result<T, E>) -> Result<CapData<T>, E> {
        let slots = self.slots.into_iter().map(translate).collect::<Result<_, E>>()?;
        Ok(CapData { body: self.body, slots })
    }
}

/// How one promise was settled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Resolution<R> {
    /// The promise.
    pub promise: R,
    /// True when it was rejected.
    pub rejected: bool,
    /// The value, or the reason.
    pub value: CapData<R>,
}

/// What a kernel delivers to its peer. References are in the receiver's frame (protocol §8).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// A message to an object or promise.
    Message {
        /// What it is sent to.
        target: Eref,
        /// Method and arguments.
        methargs: CapData<Eref>,
        /// The promise that the receiver is to decide, if an answer is wanted.
        result: Option<Eref>,
    },
    /// Promises were settled.
    Notify(Vec<Resolution<Eref>>),
    /// The sender holds these no longer; it may still recognise them.
    DropExports(Vec<Eref>),
    /// The sender cannot recognise these any more.
    RetireExports(Vec<Eref>),
    /// The objects behind these are gone.
    RetireImports(Vec<Eref>),
    /// Asks the receiver to collect its garbage and say what it dropped.
    BringOutYourDead,
}

impl Delivery {
    /// The promises that it settles.
    pub fn settled(&self) -> Vec<Eref> {
        match self {
            Delivery::Notify(resolutions) => resolutions.iter().map(|resolution| resolution.promise).collect(),
            _ => Vec::new(),
        }
    }

    /// The same with all references in the receiver's frame. The incumbent names garbage in its own (protocol §10). What was
    /// exported by either end only one of the lists can name, so the sign tells; a list of both signs stays as it is.
    #[must_use]
    pub fn in_receivers_frame(self) -> Self {
        let turned = |erefs: Vec<Eref>, direction: Direction| -> Vec<Eref> {
            let is_senders = erefs.iter().all(|eref| eref.direction != direction);
            if is_senders { erefs.into_iter().map(Eref::flipped).collect() } else { erefs }
        };
        match self {
            Delivery::DropExports(erefs) => Delivery::DropExports(turned(erefs, Direction::Import)),
            Delivery::RetireExports(erefs) => Delivery::RetireExports(turned(erefs, Direction::Import)),
            Delivery::RetireImports(erefs) => Delivery::RetireImports(turned(erefs, Direction::Export)),
            other => other,
        }
    }

    /// How many references it gives, or how many promises it settles if those are more: what its receiver has to do grows with
    /// that. What it says of garbage takes references away.
    pub fn references(&self) -> usize {
        match self {
            Delivery::Message { methargs, .. } => methargs.slots.len(),
            Delivery::Notify(resolutions) => {
                let slots = resolutions.iter().map(|resolution| resolution.value.slots.len()).sum();
                resolutions.len().max(slots)
            }
            _ => 0,
        }
    }

    /// How many references the message gives, or the outcome that gives most.
    pub fn most_slots(&self) -> usize {
        match self {
            Delivery::Message { methargs, .. } => methargs.slots.len(),
            Delivery::Notify(resolutions) => {
                resolutions.iter().map(|resolution| resolution.value.slots.len()).max().unwrap_or(0)
            }
            _ => 0,
        }
    }
}

/// A sequenced command.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RemoteCommand {
    /// One that cannot be read; whoever waits for what comes of it is told.
    Garbled(Garbled),
    /// `deliver`.
    Deliver(Delivery),
    /// `redeemURL`: asks the issuer of an OCAP URL for the object behind it.
    RedeemUrl {
        /// The URL, whole.
        url: String,
        /// Comes back in the reply.
        reply_key: String,
    },
    /// `redeemURLReply`.
    RedeemUrlReply {
        /// The key of the request.
        reply_key: String,
        /// The object, or why there is none.
        result: Result<Eref, String>,
    },
}

impl RemoteCommand {
    /// The method name on the wire.
    pub fn method(&self) -> &str {
        match self {
            RemoteCommand::Garbled(garbled) => &garbled.method,
            RemoteCommand::Deliver(_) => "deliver",
            RemoteCommand::RedeemUrl { .. } => "redeemURL",
            RemoteCommand::RedeemUrlReply { .. } => "redeemURLReply",
        }
    }

    /// Whether it says that its sender does not hold or recognise things any more.
    pub fn is_about_garbage(&self) -> bool {
        let RemoteCommand::Deliver(delivery) = self else { return false };
        matches!(delivery, Delivery::DropExports(_) | Delivery::RetireExports(_) | Delivery::RetireImports(_))
    }

    /// The promises that its sender settles with it, or leaves to the receiver.
    pub fn settles(&self) -> Vec<Eref> {
        match self.concerns() {
            Concerns::Result(promise) => vec![promise],
            Concerns::Promises(promises) => promises,
            _ => Vec::new(),
        }
    }

    /// Whether it asks the receiver to do something for its sender.
    pub fn is_request(&self) -> bool {
        matches!(self, RemoteCommand::Deliver(Delivery::Message { .. }) | RemoteCommand::RedeemUrl { .. })
    }

    /// Whether it is a message whose outcome the receiver is to tell.
    pub fn is_call(&self) -> bool {
        matches!(self, RemoteCommand::Deliver(Delivery::Message { result: Some(_), .. }))
    }

    /// Every reference that it gives to the receiver, in the receiver's frame.
    pub fn given(&self) -> impl Iterator<Item = Eref> + '_ {
        let slots: Vec<&[Eref]> = match self {
            RemoteCommand::Deliver(Delivery::Message { methargs, .. }) => vec![&methargs.slots],
            RemoteCommand::Deliver(Delivery::Notify(resolutions)) => {
                resolutions.iter().map(|resolution| resolution.value.slots.as_slice()).collect()
            }
            RemoteCommand::RedeemUrlReply { result: Ok(eref), .. } => vec![std::slice::from_ref(eref)],
            _ => Vec::new(),
        };
        slots.into_iter().flatten().copied()
    }

    /// The JSON text of `params`.
    pub(super) fn params(&self) -> Result<String, serde_json::Error> {
        match self {
            RemoteCommand::Deliver(delivery) => serde_json::to_string(delivery),
            RemoteCommand::Garbled(garbled) => Ok(garbled.params.clone()),
            RemoteCommand::RedeemUrl { url, reply_key } => serde_json::to_string(&(url, reply_key)),
            RemoteCommand::RedeemUrlReply { reply_key, result: Ok(eref) } => {
                serde_json::to_string(&(true, reply_key, eref))
            }
            RemoteCommand::RedeemUrlReply { reply_key, result: Err(reason) } => {
                serde_json::to_string(&(false, reply_key, reason))
            }
        }
    }

    /// Reads `params` of `method`.
    pub(super) fn parse(method: &str, params: &str) -> Self {
        let error = match Self::read(method, params) {
            Ok(command) => return command,
            Err(error) => error,
        };
        match without_lone_surrogates(params).map(|lossy| Self::read(method, &lossy)) {
            // A URL, a key or the words of a refusal: what they say besides is of use.
            Some(Ok(command)) if method != "deliver" => command,
            _ => RemoteCommand::Garbled(Garbled::new(method, params, &error)),
        }
    }

    fn read(method: &str, params: &str) -> Result<Self, serde_json::Error> {
        match method {
            "deliver" => serde_json::from_str(params).map(RemoteCommand::Deliver),
            "redeemURL" => {
                serde_json::from_str(params).map(|(url, reply_key)| RemoteCommand::RedeemUrl { url, reply_key })
            }
            "redeemURLReply" => {
                serde_json::from_str::<(bool, String, String)>(params).and_then(|(success, reply_key, text)| {
                    let result = if success {
                        Ok(Eref::parse_remote(&text).map_err(serde_json::Error::custom)?)
                    } else {
                        Err(text)
                    };
                    Ok(RemoteCommand::RedeemUrlReply { reply_key, result })
                })
            }
            _ => {
                Err(serde_json::Error::custom(format_args!("unknown method {:?}", method.get(..32).unwrap_or(method))))
            }
        }
    }
}

impl<R: Serialize> Serialize for Resolution<R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.promise, self.rejected, &self.value).serialize(serializer)
    }
}

impl<'de, R: Deserialize<'de>> Deserialize<'de> for Resolution<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (promise, rejected, value) = Deserialize::deserialize(deserializer)?;
        Ok(Resolution { promise, rejected, value })
    }
}

#[derive(Serialize, Deserialize)]
struct MessageBody {
    methargs: CapData<Eref>,
    result: Option<Eref>,
}

#[derive(Serialize)]
struct MessageBodyRef<'a> {
    methargs: &'a CapData<Eref>,
    result: &'a Option<Eref>,
}

impl Serialize for Delivery {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let pair = |serializer: S, name: &str, erefs: &[Eref]| {
            let mut tuple = serializer.serialize_tuple(2)?;
            tuple.serialize_element(name)?;
            tuple.serialize_element(erefs)?;
            tuple.end()
        };
        match self {
            Delivery::Message { target, methargs, result } => {
                ("message", target, MessageBodyRef { methargs, result }).serialize(serializer)
            }
            Delivery::Notify(resolutions) => ("notify", resolutions).serialize(serializer),
            Delivery::DropExports(erefs) => pair(serializer, "dropExports", erefs),
            Delivery::RetireExports(erefs) => pair(serializer, "retireExports", erefs),
            Delivery::RetireImports(erefs) => pair(serializer, "retireImports", erefs),
            Delivery::BringOutYourDead => ["bringOutYourDead"].serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Delivery {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(DeliveryVisitor)
    }
}

struct DeliveryVisitor;

impl<'de> Visitor<'de> for DeliveryVisitor {
    type Value = Delivery;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array that starts with the kind of delivery")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Delivery, A::Error> {
        fn next<'de, T: Deserialize<'de>, A: SeqAccess<'de>>(seq: &mut A) -> Result<T, A::Error> {
            seq.next_element()?.ok_or_else(|| A::Error::custom("the delivery is too short"))
        }
        let kind: String = next(&mut seq)?;
        let delivery = match kind.as_str() {
            "message" => {
                let target: Eref = next(&mut seq)?;
                let MessageBody { methargs, result } = next(&mut seq)?;
                Delivery::Message { target, methargs, result }
            }
            "notify" => Delivery::Notify(next(&mut seq)?),
            "dropExports" => Delivery::DropExports(next(&mut seq)?),
            "retireExports" => Delivery::RetireExports(next(&mut seq)?),
            "retireImports" => Delivery::RetireImports(next(&mut seq)?),
            "bringOutYourDead" => Delivery::BringOutYourDead,
            _ => return Err(A::Error::custom(format_args!("unknown delivery {:?}", kind.get(..32).unwrap_or(&kind)))),
        };
        if !delivery.erefs_are_remote() {
            return Err(A::Error::custom("a reference on the wire must be a remote's (ro+1, rp-1)"));
        }
        match seq.next_element::<serde::de::IgnoredAny>()? {
            None => Ok(delivery),
            Some(_) => Err(A::Error::custom("the delivery is too long")),
        }
    }
}

impl Delivery {
    /// Whether every reference is a remote's.
    pub(crate) fn erefs_are_remote(&self) -> bool {
        let all = |erefs: &[Eref]| erefs.iter().all(|eref| eref.remote);
        match self {
            Delivery::Message { target, methargs, result } => {
                target.remote && all(&methargs.slots) && result.is_none_or(|eref| eref.remote)
            }
            Delivery::Notify(resolutions) => {
                resolutions.iter().all(|resolution| resolution.promise.remote && all(&resolution.value.slots))
            }
            Delivery::DropExports(erefs) | Delivery::RetireExports(erefs) | Delivery::RetireImports(erefs) => {
                all(erefs)
            }
            Delivery::BringOutYourDead => true,
        }
    }
}
