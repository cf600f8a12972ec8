//! The index, kept in `projections/annals.flow.state` so that a start replays only what came since. Derived: where it
//! is missing, damaged or of another history, the log is read from its beginning instead.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::authority::Authority;
use super::grant::GivenGrant;
use super::index::{Hook, Index, Live};
use super::policy::RuleSet;
use crate::catalog::{Catalog, Table};
use crate::error::{ErrorKind, Result};
use crate::position::Position;
use crate::projection::{Home, kept};
use crate::snapshot::codec;
use crate::store::Store;

/// The name under which it is kept.
const NAME: &str = "annals.flow";
/// Changes with the shape of [`Image`] and the meaning of what is in it.
const VERSION: u32 = 1;
/// Requests above which it is not kept: it would be larger than any state may be.
const LIVE_MAX: usize = 200_000;

/// An index as it is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Image {
    tables: Vec<Table>,
    rules: String,
    rules_at: Position,
    code: Option<String>,
    roles: std::collections::BTreeMap<String, std::collections::BTreeMap<String, super::authority::Role>>,
    grants: Vec<KeptGrant>,
    hooks: std::collections::BTreeMap<String, Hook>,
    live: Vec<(Position, Live)>,
}

/// A grant field by field: bincode knows no flattened structs.
#[derive(Debug, Serialize, Deserialize)]
struct KeptGrant {
    id: Position,
    grant: String,
    by: String,
    used: u64,
    revoked: Option<Position>,
}

/// The index that was kept, if it is of this history; else an empty one.
pub(crate) fn load(store: &Store) -> Result<Index> {
    let home = Home::new(store.path(), &store.inner.log.storage, false, &store.inner.projections)?;
    let Some((at, state)) = kept::load(&home, NAME, VERSION)? else { return Ok(Index::default()) };
    let image: Option<Image> = codec::decode(&state).ok();
    match image {
        Some(image) if store.reader().holds(&at)? => Ok(index_of(image, at.position).unwrap_or_default()),
        _ => Ok(Index::default()),
    }
}

/// What is to be kept of an index, and where it stands; `None` if it is larger than any state may be.
pub(crate) fn image(index: &Index) -> Option<(Position, Vec<u8>)> {
    let state =
        Some(index).filter(|index| index.live.len() <= LIVE_MAX).and_then(|index| codec::encode(&image_of(index)).ok());
    state.map(|state| (index.position, state))
}

/// Keeps it. What power loss may take back is not kept, so it is made durable first. That another process keeps
/// projections is no reason to stop.
pub(crate) fn save(store: &Store, position: Position, state: &[u8]) -> Result<()> {
    if position > store.reader().durable() {
        store.sync()?;
    }
    let Some(at) = store.reader().checkpoint(position)? else { return Ok(()) };
    let home = match Home::new(store.path(), &store.inner.log.storage, true, &store.inner.projections) {
        Err(error) if error.kind() == ErrorKind::Locked => return Ok(()),
        home => home?,
    };
    kept::save(&home, NAME, VERSION, &at, state)
}

/// Reads a kept index from hostile bytes and looks at what it would be.
#[cfg(any(fuzzing, feature = "fuzzing"))]
pub(super) fn read_and_use(state: &[u8]) {
    let Ok(image) = codec::decode::<Image>(state) else { return };
    let live = image.live.len();
    let Some(index) = index_of(image, Position::new(30)) else { return };
    assert!(index.live.len() <= live);
    let again = image_of(&index);
    assert_eq!(again.live.len(), index.live.len());
    if let Ok(state) = codec::encode(&again) {
        assert!(codec::decode::<Image>(&state).is_ok());
    }
}

fn image_of(index: &Index) -> Image {
    let authority = &index.authority;
    let grant = |given: &GivenGrant| KeptGrant {
        id: given.id,
        // Texts and numbers always have a JSON form.
        grant: serde_json::to_string(&given.grant).unwrap_or_default(),
        by: given.by.clone(),
        used: given.used,
        revoked: given.revoked,
    };
    Image {
        tables: authority.catalog.tables().to_vec(),
        rules: authority.rules.text().to_owned(),
        rules_at: authority.rules_at,
        code: authority.code.clone(),
        roles: authority.roles.clone(),
        grants: authority.grants.values().map(grant).collect(),
        hooks: index.hooks.clone(),
        live: index.live.iter().map(|(id, live)| (*id, live.clone())).collect(),
    }
}

fn index_of(image: Image, position: Position) -> Option<Index> {
    let mut catalog = Catalog::core();
    for table in image.tables {
        if catalog.tables().contains(&table) {
            continue;
        }
        catalog = catalog.with(table).ok()?;
    }
    let mut grants = std::collections::BTreeMap::new();
    for kept in image.grants {
        let grant = serde_json::from_str(&kept.grant).ok()?;
        let KeptGrant { id, by, used, revoked, .. } = kept;
        grants.insert(id, GivenGrant { id, grant, by, used, revoked });
    }
    let rules = Arc::new(RuleSet::parse(&image.rules).ok()?);
    let authority =
        Authority { catalog, rules, rules_at: image.rules_at, code: image.code, roles: image.roles, grants };
    let mut index = Index::at(position, authority, image.hooks);
    image.live.into_iter().for_each(|(id, live)| index.insert(id, live));
    Some(index)
}
