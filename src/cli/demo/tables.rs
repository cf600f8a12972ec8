//! The scenes of read models: the log as tables, full text and statistics, and a model thrown away and made again.

use super::scenes::path;
use super::{Set, Stage};
use crate::cli::fail::{Done, Failure};

pub(super) fn scene(set: &Set, stage: &mut Stage<'_>) -> Done {
    stage.title("The same log as a table, as full text, as statistics")?;
    let store = path(&set.store);
    for statement in [
        "SELECT id, version, updated_at FROM notes ORDER BY updated_at DESC LIMIT 2",
        "SELECT count(*) AS about_wheels FROM search WHERE search MATCH 'wheel'",
        "SELECT actor, sum(events) AS edits FROM stats WHERE type = 'note.edited' GROUP BY actor ORDER BY 2 DESC LIMIT 2",
    ] {
        stage.run(&["sql", &store, statement, "--format", "jsonl"])?;
    }
    Ok(())
}

pub(super) fn rebuilt(set: &Set, stage: &mut Stage<'_>) -> Done {
    stage.title("Throw a read model away, and make it again")?;
    let file = set.store.join("projections").join("tables.sqlite");
    stage.command(&format!("rm {}", crate::cli::fail::shell_word(&file)))?;
    std::fs::remove_file(&file).map_err(|error| Failure::io(format_args!("remove {}", file.display()), &error))?;
    stage.run(&["projections", &path(&set.store), "rebuild", "notes"])
}
