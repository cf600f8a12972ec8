//! Setting up a flow: its tables, its policy, its rules.

use std::collections::HashMap;
use std::sync::Arc;

use super::authority::{POLICY_SET, PolicySet};
use super::engine::Engine;
use super::policy::{DEFAULT, Policy};
use super::rules::Rules;
use super::runner::Runner;
use super::wanted::FLOW;
use super::{Flow, Running, keep};
use crate::actor::Actor;
use crate::append::Append;
use crate::catalog::{Catalog, Table};
use crate::error::{Error, ErrorKind, Result};
use crate::event::NewEvent;
use crate::store::Store;

/// Requests of one agent that may wait, if nothing else is said.
const AGENT_WAITING_MAX: u64 = 1000;

/// Sets up a [`Flow`].
#[derive(Debug)]
pub struct FlowBuilder {
    store: Store,
    catalog: Catalog,
    policy: Option<Arc<dyn Policy>>,
    rules: HashMap<String, Arc<dyn Rules>>,
    agent_waiting_max: u64,
    background: bool,
}

impl FlowBuilder {
    pub(crate) fn new(store: Store) -> FlowBuilder {
        FlowBuilder {
            store,
            catalog: Catalog::core(),
            policy: None,
            rules: HashMap::new(),
            agent_waiting_max: AGENT_WAITING_MAX,
            background: true,
        }
    }

    /// Tables that the store is to have. Those that it lacks are added.
    #[must_use]
    pub fn catalog(mut self, catalog: Catalog) -> FlowBuilder {
        self.catalog = catalog;
        self
    }

    /// Who decides what is left to no person. Its name is recorded. If none is given, the rules that are stored, and
    /// what people expect of their own data; unless another program's policy is recorded: then what nobody was asked
    /// about stays open.
    #[must_use]
    pub fn policy(mut self, policy: impl Policy) -> FlowBuilder {
        self.policy = Some(Arc::new(policy));
        self
    }

    /// Rules of a table, whose changes this program carries out. The table is added if the store lacks it.
    #[must_use]
    pub fn table(mut self, name: impl Into<String>, rules: impl Rules) -> FlowBuilder {
        self.rules.insert(name.into(), Arc::new(rules));
        self
    }

    /// How many requests of one agent may wait. 1,000 if nothing is said.
    #[must_use]
    pub fn agent_waiting_max(mut self, requests: u64) -> FlowBuilder {
        self.agent_waiting_max = requests;
        self
    }

    /// Whether the flow has a thread of its own; else what is due waits for [`Flow::settle`].
    #[must_use]
    pub fn background(mut self, on: bool) -> FlowBuilder {
        self.background = on;
        self
    }

    /// Starts the flow: adds the tables that the store lacks, records the policy, and goes on with what an earlier one
    /// left.
    ///
    /// # Errors
    /// `Conflict` if a table that is given contradicts one that is stored; `ReadOnly`; whatever an append can meet.
    pub fn start(self) -> Result<Flow> {
        self.add_tables()?;
        let code = self.policy.as_ref().map(|policy| policy.name().to_owned());
        let background = self.background;
        let engine = Arc::new(self.engine()?);
        if let Some(code) = code {
            record_policy(&engine, &code)?;
        }
        let runner = if background { Some(Runner::start(Arc::clone(&engine))?) } else { None };
        let running = Running {
            engine: Arc::clone(&engine),
            #[cfg(unix)]
            server: parking_lot::Mutex::new(None),
            runner: parking_lot::Mutex::new(runner),
        };
        #[cfg(unix)]
        if background && running.engine.store.serves_control_socket() {
            *running.server.lock() = Some(super::control::Server::start(&engine)?);
        }
        Ok(Flow { engine, _running: Some(Arc::new(running)) })
    }

    pub(crate) fn view(self) -> Result<Flow> {
        Ok(Flow { engine: Arc::new(self.engine()?), _running: None })
    }

    fn engine(self) -> Result<Engine> {
        let mut index = keep::load(&self.store)?;
        if let Some(newest) = self.store.reader().event(index.position)? {
            index.recorded_at = newest.recorded_at();
        }
        let engine = Engine::new(self.store, self.policy, self.rules, self.agent_waiting_max);
        *engine.index.lock() = index;
        engine.look(|_| Ok(()))?;
        Ok(engine)
    }

    /// Adds what the store lacks of the tables that were given.
    fn add_tables(&self) -> Result<()> {
        let mut wanted: Vec<Table> =
            self.catalog.tables().iter().filter(|table| !Catalog::core().tables().contains(table)).cloned().collect();
        for (name, rules) in &self.rules {
            let core = Catalog::core().table(name).cloned();
            let at = wanted.iter().position(|table| table.name() == name);
            match at {
                Some(at) if wanted[at].rules().is_none() => wanted[at] = wanted[at].clone().with_rules(rules.name()),
                Some(_) => {}
                None => wanted.push(core.unwrap_or_else(|| Table::new(name)).with_rules(rules.name())),
            }
        }
        wanted.sort_by(|left, right| left.name().cmp(right.name()));
        let stored = self.store.catalog()?;
        for table in wanted {
            let given = self.catalog.table(table.name());
            let table = match stored.table(table.name()) {
                None => table,
                Some(known) => match merged(known, table.rules(), given)? {
                    Some(merged) => merged,
                    None => continue,
                },
            };
            self.store.add_table_by(table, Actor::system(FLOW))?;
        }
        Ok(())
    }
}

/// The stored table with the rules that were given; `None` if it has them. A definition of a name and a kind alone says
/// nothing about the rest.
fn merged(stored: &Table, rules: Option<&str>, given: Option<&Table>) -> Result<Option<Table>> {
    let contradicts = |what: &str| {
        let text = format!("the table {} is stored with {what} than this program gives it", stored.name());
        Err(Error::new(ErrorKind::Conflict, text)
            .hinting("`annals tables STORE` shows it; change it there, or in the program"))
    };
    if given.is_some_and(|given| given.kind() != stored.kind()) {
        return contradicts("another kind");
    }
    if let (Some(stored), Some(given)) = (stored.rules(), rules)
        && stored != given
    {
        return contradicts("other rules");
    }
    let same_but_rules = |table: &Table| table.clone().without_rules();
    if given.is_some_and(|given| !given.is_plain() && same_but_rules(stored) != same_but_rules(given)) {
        return contradicts("other fields");
    }
    Ok(rules.filter(|_| stored.rules().is_none()).map(|rules| stored.clone().with_rules(rules)))
}

/// Writes down which policy decides from here on, unless that is known.
fn record_policy(engine: &Engine, name: &str) -> Result<()> {
    engine.act(|look| {
        let known = look.index.authority.code.as_deref().unwrap_or(DEFAULT);
        if known == name {
            return Ok(None);
        }
        let set = PolicySet { rules: None, code: Some(name.to_owned()) };
        let event = NewEvent::json(POLICY_SET, "annals.policy/code", &set)?.actor(Actor::system(FLOW));
        let nothing_new = crate::query::Query::all().types(super::authority::TYPES);
        Ok(Some((Append::new([event]).unless(nothing_new, look.index.position), ())))
    })?;
    Ok(())
}
