//! Gives the model to the model checker, and tells what it found.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::{
    Configuration,
    actions::{self, Action},
    end::End,
    kind::{self, Known},
    rules::Rules,
    story,
    world::World,
};

/// What came of a check.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How many different states there are, or were seen until the violation.
    pub states: usize,
    /// The longest way to one of them, in steps.
    pub depth: usize,
    /// What must not be and is, told step by step.
    pub violation: Option<String>,
}

struct Sessions {
    configuration: Configuration,
    known: Known,
}

impl Sessions {
    fn rules(&self) -> &Rules {
        &self.configuration.rules
    }

    fn arrives(&self, world: &World) -> bool {
        let arrives = || self.known.arrives(world, self.rules()).is_ok();
        world.violation.is_some() || catch_unwind(AssertUnwindSafe(arrives)).unwrap_or(false)
    }
}

impl Model for Sessions {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let Rules { session, now, .. } = self.rules();
        vec![World::new(&End::new(session.clone(), *now), self.configuration.bounds.clone())]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        actions::possible(world, actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        // A session that panics is as wrong as one that loses a message.
        catch_unwind(AssertUnwindSafe(|| actions::apply(world, self.rules(), action)))
            .unwrap_or_else(|_| Some(World { violation: Some(Arc::from("a panic, see above")), ..world.clone() }))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("nothing happens that must not", |_, world: &World| world.violation.is_none()),
            Property::always("there is a way to a good end", |model: &Sessions, world: &World| model.arrives(world)),
        ]
    }
}

/// Walks every state of a configuration, or stops at the first violation.
pub fn check(configuration: &Configuration) -> Outcome {
    let model = || Sessions { configuration: configuration.clone(), known: Known::default() };
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let walk = model().checker().threads(threads).finish_when(HasDiscoveries::AnyFailures).spawn_dfs().join();
    let (states, depth) = (walk.unique_state_count(), walk.max_depth());
    if walk.discoveries().is_empty() {
        return Outcome { states, depth, violation: None };
    }
    // A person reads the shortest way more easily than the first.
    let search = model().checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let found = search.discoveries().into_values().min_by_key(|path| path.clone().into_actions().len());
    let violation = found.map(|path| explain(&model(), path.into_actions()));
    Outcome { states, depth, violation: Some(violation.unwrap_or_else(|| "found once, and not again".to_owned())) }
}

fn explain(model: &Sessions, actions: Vec<Action>) -> String {
    let mut lines = vec![format!("configuration {}:", model.configuration.name)];
    let mut world = model.init_states().remove(0);
    for action in actions {
        let Some(next) = model.next_state(&world, action) else { continue };
        lines.push(story::tell(&world, action, &next));
        world = next;
    }
    if world.violation.is_none() {
        lines.push("and from here on nothing goes wrong any more:".to_owned());
        let way = catch_unwind(AssertUnwindSafe(|| kind::tell(&world, model.rules())));
        lines.extend(way.unwrap_or_else(|_| vec!["=> a panic, see above".to_owned()]));
    }
    lines.join("\n")
}
