//! The scene of an agent's request, and the one that is left for the reader to answer.

use annals::{Actor, Flow, Pending, Request, Store, Timestamp};
use serde_json::json;

use super::scenes::path;
use super::{Set, Stage};
use crate::cli::fail::{Code, Done, Failure, shell_word};
use crate::cli::{open, text};

/// What is proposed in the scene, and in the end.
const IN_THE_SCENE: &str = "pep-0616";
const IN_THE_END: &str = "pep-0760";
/// Whose the documents are, and who proposes.
const OWNER: &str = "alice";
const AGENT: &str = "agent:scribe";
const ADOPTED: &str = "note.created=create,note.edited=update,note.moved=update,note.deleted=delete";

/// Says what the imported types do to rows, so that documents can be asked about; as `annals tables add` does.
pub(super) fn adopt(set: &Set) -> Done {
    let mut nowhere = crate::cli::out::Out::nowhere();
    let store = path(&set.store);
    let user = format!("user:{OWNER}");
    let args = ["annals", "tables", &store, "add", "notes", "--adopt", ADOPTED, "--owner", OWNER, "--actor", &user];
    crate::cli::run(args.into_iter().map(Into::into), &mut nowhere)
}

pub(super) fn scene(set: &Set, stage: &mut Stage<'_>) -> Done {
    stage.title("An agent proposes, a person approves what they saw")?;
    let store = path(&set.store);
    // Each time another value, so that there is something to approve.
    let second = Timestamp::from_nanos(Timestamp::now().as_nanos() / 1_000_000_000 * 1_000_000_000);
    let reviewed = json!({ "reviewed": second }).to_string();
    let args = ["request", &store, "update", "notes", IN_THE_SCENE, "--data", &reviewed, "--actor", AGENT];
    stage.run_to(&args, Code::Asked)?;
    let asked = newest(set, IN_THE_SCENE)?;
    for change in &asked.differences {
        let value = |value: &Option<String>| value.as_deref().map(|text| text::clean(text).into_owned());
        let (from, to) = (value(&change.from), value(&change.to));
        let old = from.map(|from| stage.out.paint.red(&format!("- {from} "))).unwrap_or_default();
        let new = to.map(|to| stage.out.paint.green(&format!("+ {to}"))).unwrap_or_default();
        stage.line(format_args!("{}: {old}{new}", change.path))?;
    }
    let (id, digest) = (asked.request.to_string(), asked.digest);
    let user = format!("user:{OWNER}");
    stage.run(&["approve", &store, &id, "--actor", &user, "--seen", &digest])
}

/// Leaves one request for the reader, unless one waits from before; the command that answers it.
pub(super) fn left(set: &Set) -> Done<String> {
    let asked = match waiting(set, IN_THE_END)? {
        Some(asked) => asked,
        None => {
            let store = open::writing_as_it_is(&set.store)?;
            let made = propose(&store).map_err(|error| Failure::of_store(&error, &set.store));
            open::close(&store, &set.store)?;
            made?;
            newest(set, IN_THE_END)?
        }
    };
    let (store, digest) = (shell_word(&set.store), asked.digest);
    Ok(format!("annals approve {store} {} --actor user:{OWNER} --seen {digest}", asked.request))
}

fn propose(store: &Store) -> annals::Result<()> {
    let flow = Flow::builder(store).background(false).start()?;
    let agent = Actor::agent("scribe").on_behalf_of(OWNER);
    flow.request(Request::update("notes", IN_THE_END, &json!({"summary": "what an agent made of it"})).by(agent))?;
    Ok(())
}

fn newest(set: &Set, id: &str) -> Done<Pending> {
    let missing = || Failure::new(Code::NotFound, format!("nobody was asked about {id}, {}", path(&set.store)));
    waiting(set, id)?.ok_or_else(missing)
}

/// The newest request about a document that waits for an answer.
fn waiting(set: &Set, id: &str) -> Done<Option<Pending>> {
    let store = open::reading(&set.store)?;
    let pending = Flow::view(&store).and_then(|flow| flow.pending_for(&Actor::user(OWNER), 1000));
    let pending = pending.map_err(|error| Failure::of_store(&error, &set.store))?;
    let subject = format!("note/{id}");
    Ok(pending.into_iter().rev().find(|asked| asked.subject == subject))
}
