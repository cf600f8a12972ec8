//! The state of a subject: the newest stored one that fits, and the events behind it.

use std::ops::ControlFlow;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::write::Job;
use super::{Loaded, State, codec};
use crate::error::{BoxError, Error, ErrorKind, Result};
use crate::event::EventRef;
use crate::limits::STATE_NAME_BYTES_MAX;
use crate::position::Position;
use crate::query::Query;
use crate::reader::Reader;

impl Reader {
    /// The state of a subject in this reader's view, folded from its events: from the newest stored state that fits,
    /// else from the first event. A subject without events has the default state, at version 0. Blocks while it reads.
    ///
    /// Where many events had to be folded, the state is stored in the background, if this handle writes; see
    /// [`Options::snapshot_every`](crate::Options::snapshot_every). A view as of a time of occurrence is folded from
    /// the first event.
    ///
    /// # Errors
    /// `Invalid` if the state refuses an event, naming its position. `Corruption`, `Io`, `Closed`; `TooLarge` if the
    /// name of the kind of state is too long.
    pub fn load<S: State>(&self, subject: &str) -> Result<Loaded<S>> {
        load_as(self, S::NAME, S::SNAPSHOT_VERSION, subject, &mut |state: &mut S, event| state.apply(event))
    }
}

/// Folds a state of a kind that is given by values.
pub(super) fn load_as<T: Default + Serialize + DeserializeOwned>(
    reader: &Reader,
    name: &str,
    shape: u32,
    subject: &str,
    apply: &mut dyn FnMut(&mut T, EventRef<'_>) -> Result<(), BoxError>,
) -> Result<Loaded<T>> {
    reader.log.check_open()?;
    if name.len() > STATE_NAME_BYTES_MAX {
        let message = format!("a name of a state of {} bytes: at most {STATE_NAME_BYTES_MAX}", name.len());
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    let kind = Kind { reader, name, shape, subject };
    let mut loaded = kind.stored()?.unwrap_or_else(|| Loaded {
        state: T::default(),
        version: 0,
        position: Position::ORIGIN,
        replayed: 0,
        snapshot: None,
    });
    let snapshots = &reader.snapshots;
    let (durable, takes) = (reader.durable(), snapshots.takes() && reader.is_whole());
    let mut epoch = 0;
    let mut due = None;
    let mut failure = None;
    reader.scan(&Query::all().subject(subject).after(loaded.position), |event| {
        // A power cut may still take this event, so what came before it is what can be stored.
        if takes && due.is_none() && event.position() > durable && loaded.replayed >= snapshots.every {
            due = kind.job(&loaded, epoch);
        }
        if let Err(error) = apply(&mut loaded.state, event) {
            let place = format!("the state {name:?} refuses {subject} at position {}", event.position());
            failure = Some(Error::invalid(format!("{place}: {error}")).caused_by(error));
            return ControlFlow::Break(());
        }
        (loaded.version, loaded.position, epoch) = (event.version(), event.position(), event.epoch());
        loaded.replayed += 1;
        ControlFlow::Continue(())
    })?;
    if let Some(failure) = failure {
        return Err(failure);
    }
    if takes && loaded.position <= durable && loaded.replayed >= snapshots.every {
        due = kind.job(&loaded, epoch);
    }
    if let Some(job) = due {
        snapshots.hand_over(job);
    }
    Ok(loaded)
}

struct Kind<'a> {
    reader: &'a Reader,
    name: &'a str,
    shape: u32,
    subject: &'a str,
}

impl Kind<'_> {
    /// The newest stored state that fits what the reader sees. Those that do not are forgotten, counted and told.
    fn stored<T: DeserializeOwned>(&self) -> Result<Option<Loaded<T>>> {
        let (reader, snapshots) = (self.reader, &self.reader.snapshots);
        if snapshots.every == 0 || !reader.is_whole() {
            return Ok(None);
        }
        let file = snapshots.file(self.name);
        let candidates = file.candidates(snapshots, self.name, self.shape, self.subject, reader.horizon);
        let Some((opened, places)) = candidates else { return Ok(None) };
        for place in places {
            let fitting = opened.read(&place, self.subject).and_then(|stored| {
                // An event that cannot be read names nothing; whoever folds from there on meets the damage.
                match reader.log.fingerprint(place.position) {
                    Ok(Some(found)) if found == stored.fingerprint => {}
                    Ok(_) => return Err(format!("the log holds another event at position {}", place.position)),
                    Err(error) => return Err(error.to_string()),
                }
                codec::decode::<T>(&stored.state).map_err(|error| error.to_string())
            });
            match fitting {
                Ok(state) => {
                    let (version, position) = (place.version, place.position);
                    return Ok(Some(Loaded { state, version, position, replayed: 0, snapshot: Some(position) }));
                }
                Err(why) => {
                    snapshots.ignored.add(&file.path, why);
                    file.forget(reader.log.hasher.subject(self.subject), &place);
                }
            }
        }
        Ok(None)
    }

    /// The state on its way to the disk; `None`, and counted, if it has no form there.
    fn job<T: Serialize + DeserializeOwned>(&self, loaded: &Loaded<T>, epoch: u64) -> Option<Job> {
        let snapshots = &self.reader.snapshots;
        match codec::encode(&loaded.state) {
            Ok(state) => Some(Job {
                name: self.name.to_owned(),
                shape: self.shape,
                subject: self.subject.to_owned(),
                position: loaded.position,
                version: loaded.version,
                epoch,
                state,
            }),
            Err(error) => {
                snapshots.ignored.add(&snapshots.file(self.name).path, error);
                None
            }
        }
    }
}
