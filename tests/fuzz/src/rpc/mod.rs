//! Both ends of the bridge, each with a port that says whatever the input has it say: few posts follow a message, every
//! request is answered at most once, and no caller waits after the end.

mod surroundings;

use std::{collections::HashMap, rc::Rc};

use futures::{FutureExt as _, future::LocalBoxFuture};
use ocap_remotes::{
    bridge::{KernelServices, PlatformServices, PlatformServicesClient, PlatformServicesServer, PortEvent},
    wire::{IncarnationId, PeerId, RemoteCommsOptions},
};
use serde_json::{Value, json};

use self::surroundings::{FakePort, ManualRuntime, Services};
use crate::{choices::Choices, people::people};

/// The input is a list of steps; each end gets it whole.
pub(crate) fn target(data: &[u8]) {
    let mut server = Harness::new();
    let end = Rc::new(PlatformServicesServer::new(server.port.clone(), server.runtime.clone()));
    end.start(server.services.clone(), None);
    let calls = Rc::clone(&end);
    server.run(Choices::new(data), "vws:", &|choices| call_kernel(&calls, choices), &|| end.close());

    let mut client = Harness::new();
    let end = Rc::new(PlatformServicesClient::new(client.port.clone(), client.runtime.clone()));
    end.start(client.services.clone(), || {});
    let calls = Rc::clone(&end);
    client.run(Choices::new(data), "m", &|choices| call_network(&calls, choices), &|| end.close());
}

type Call = LocalBoxFuture<'static, ()>;

struct Harness {
    port: FakePort,
    runtime: Rc<ManualRuntime>,
    services: Rc<Services>,
    calls: Vec<Call>,
    /// Requests that came and were not answered yet, by their id.
    unanswered: HashMap<String, usize>,
}

impl Harness {
    fn new() -> Self {
        Harness {
            port: FakePort::default(),
            runtime: Rc::default(),
            services: Rc::default(),
            calls: Vec::new(),
            unanswered: HashMap::new(),
        }
    }

    fn run(
        &mut self,
        mut choices: Choices<'_>,
        prefix: &str,
        call: &dyn Fn(&mut Choices<'_>) -> Call,
        close: &dyn Fn(),
    ) {
        self.check_posts(1);
        while !choices.is_empty() {
            let waiting = self.calls.len();
            match choices.below(16) {
                0..=4 => self.receive(request(&mut choices), waiting),
                5..=6 => self.receive(answer(&mut choices, prefix), waiting),
                7 => self.receive(json!({ "@@Syn": true }), waiting),
                8 => self.receive(json!({ "@@Ack": true }), waiting),
                9 => {
                    let signals = ["@@StreamDone", "@@StreamError", "@@Syn", "@@Ack"];
                    let signal = json!({ *choices.pick(&signals): choices.once_in(2), "error": choices.text() });
                    self.receive(signal, waiting);
                }
                10 => {
                    if let Ok(message) = serde_json::from_slice(choices.bytes()) {
                        self.receive(message, waiting);
                    }
                }
                11..=12 if waiting < 64 => {
                    self.calls.push(call(&mut choices));
                    self.check_posts(1);
                }
                13 => {
                    // Each handler that was waiting answers now.
                    let limit = self.runtime.tasks();
                    self.services.finish(choices.once_in(2));
                    self.runtime.run();
                    self.check_posts(limit.saturating_mul(2));
                }
                14 => self.port.refuse(choices.once_in(2)),
                _ => {
                    if choices.once_in(8) {
                        self.port.tell(PortEvent::Closed);
                        self.check_posts(0);
                    }
                }
            }
        }
        close();
        self.check_posts(1);
        self.services.finish(true);
        self.runtime.run();
        self.check_posts(0);
        for waiting in self.calls.drain(..) {
            assert!(waiting.now_or_never().is_some(), "a caller waits for a bridge that has ended");
        }
    }

    /// Hands a message over. It is answered, or it opens the bridge, on which all calls that waited for that are posted.
    fn receive(&mut self, message: Value, waiting: usize) {
        if let Some(id) = message.get("id") {
            *self.unanswered.entry(id.to_string()).or_default() += 1;
        }
        self.port.tell(PortEvent::Message { message, transfer: None });
        self.check_posts(2 + waiting);
    }

    fn check_posts(&mut self, limit: usize) {
        let (posts, attempts) = self.port.take();
        assert!(attempts <= limit, "{attempts} posts where {limit} would do");
        for post in posts {
            if post.get("result").is_none() && post.get("error").is_none() {
                continue;
            }
            let id = post.get("id").expect("an answer says to what").to_string();
            let unanswered = self.unanswered.get_mut(&id).filter(|count| **count > 0);
            *unanswered.unwrap_or_else(|| panic!("an answer too many to {id}")) -= 1;
        }
    }
}

fn peer(choices: &mut Choices<'_>) -> PeerId {
    choices.pick(people()).clone()
}

fn incarnation(choices: &mut Choices<'_>) -> IncarnationId {
    IncarnationId::from_random([choices.byte(); 16])
}

fn call_kernel(server: &PlatformServicesServer<FakePort>, choices: &mut Choices<'_>) -> Call {
    match choices.below(3) {
        0 => server.remote_deliver(peer(choices), choices.text()).map(drop).boxed_local(),
        1 => server.remote_give_up(peer(choices)).map(drop).boxed_local(),
        _ => server.remote_incarnation_change(peer(choices), incarnation(choices)).map(drop).boxed_local(),
    }
}

fn call_network(client: &PlatformServicesClient<FakePort>, choices: &mut Choices<'_>) -> Call {
    match choices.below(7) {
        0 => client.send_remote_message(peer(choices), choices.text()),
        1 => client.initialize_remote_comms(choices.text(), RemoteCommsOptions::default(), incarnation(choices)),
        2 => client.stop_remote_comms(),
        3 => client.close_connection(peer(choices)),
        4 => client.register_location_hints(peer(choices), vec![choices.text()]),
        5 => client.reconnect_peer(peer(choices), vec![choices.text()]),
        _ => client.reset_all_backoffs(),
    }
    .map(drop)
    .boxed_local()
}

/// A request that is nearly right.
fn request(choices: &mut Choices<'_>) -> Value {
    let methods = [
        "initializeRemoteComms",
        "sendRemoteMessage",
        "stopRemoteComms",
        "remoteDeliver",
        "remoteGiveUp",
        "remoteIncarnationChange",
        "closeConnection",
        "registerLocationHints",
        "reconnectPeer",
        "resetAllBackoffs",
        "launch",
        "terminate",
        "terminateAll",
        "nonsense",
    ];
    let method = *choices.pick(&methods);
    let params = match choices.below(8) {
        0 => json!([]),
        1 => value(choices),
        _ => {
            let mut params = json!({
                "peerId": peer(choices).as_str(), "from": peer(choices).as_str(), "to": peer(choices).as_str(),
                "message": "{}", "hints": [], "observedIncarnation": "a", "keySeed": "00", "vatId": "v1",
            });
            for _ in 0..choices.below(3) {
                let names = ["peerId", "from", "to", "message", "hints", "observedIncarnation", "keySeed", "maxQueue"];
                params[*choices.pick(&names)] = value(choices);
            }
            params
        }
    };
    let mut request = json!({ "jsonrpc": "2.0", "method": method, "params": params });
    if !choices.once_in(8) {
        request["id"] = id(choices, "m");
    }
    if choices.once_in(16) {
        request["method"] = value(choices);
    }
    request
}

/// An answer, perhaps to a call of this end.
fn answer(choices: &mut Choices<'_>, prefix: &str) -> Value {
    let mut answer = json!({ "jsonrpc": "2.0", "id": id(choices, prefix) });
    if !choices.once_in(4) {
        answer["result"] = value(choices);
    } else {
        answer["error"] = json!({ "code": -32603, "message": "no", "data": { "cause": { "name": choices.text() } } });
    }
    if choices.once_in(8) {
        answer["error"] = value(choices);
    }
    answer
}

fn id(choices: &mut Choices<'_>, prefix: &str) -> Value {
    match choices.below(8) {
        0 => value(choices),
        _ => format!("{prefix}{}", choices.below(16)).into(),
    }
}

fn value(choices: &mut Choices<'_>) -> Value {
    match choices.below(8) {
        0 => Value::Null,
        1 => choices.once_in(2).into(),
        2 => choices.byte().into(),
        3 => json!(f64::from(choices.byte()) * -1.5),
        4 => choices.text().into(),
        5 => json!([choices.text(), choices.byte()]),
        6 => json!({ choices.text(): choices.text() }),
        _ => peer(choices).as_str().into(),
    }
}
