use super::*;

fn notes() -> Table {
    Table::new("notes").adopting("note.created", Action::Create).adopting("note.deleted", Action::Delete)
}

#[test]
fn the_core_tables_generate_55_types_and_189_decisions() {
    let core = Catalog::core();
    assert_eq!(core.tables().len(), 9);
    assert_eq!(core.event_types().count(), 55);
    assert_eq!(core.decision_types().count(), 189);
    assert!(core.event_types().chain(core.decision_types()).all(|name| core.is_generated(&name)));
    let own = core.with(notes()).unwrap();
    assert_eq!((own.event_types().count(), own.decision_types().count()), (61, 210));
    assert_eq!(own.own_tables().len(), 1);
}

#[test]
fn what_no_table_generates_is_told_apart() {
    let core = Catalog::core();
    for name in
        ["entities.create", "entities.make.requested", "entities.create.done", "notes.create.requested", "a.b.c.d"]
    {
        assert!(!core.is_generated(name), "{name}");
    }
    assert!(core.is_generated("webhooks.deliver.requested"));
    assert!(core.is_generated("apiKeys.delete.stale"));
}

#[test]
fn rows_change_by_validated_and_adopted_events_alone() {
    let catalog = Catalog::core().with(notes()).unwrap();
    let action = |event_type: &str, subject: &str| catalog.action_of(event_type, subject).map(|(_, action)| action);
    assert_eq!(action("notes.update.validated", "note/n-1"), Some(Action::Update));
    assert_eq!(action("note.created", "note/n-1"), Some(Action::Create));
    assert_eq!(action("note.updated", "note/n-1"), None);
    assert_eq!(action("notes.update.approved", "note/n-1"), None);
    assert_eq!(action("note.created", "page/n-1"), None);
    assert_eq!(action("notes.update.validated", "entity/n-1"), None);
}

#[test]
fn names_that_would_collide_are_refused() {
    let catalog = Catalog::core().with(notes()).unwrap();
    let refused = |table: Table| catalog.clone().with(table).unwrap_err().kind();
    assert_eq!(refused(Table::new("events")), ErrorKind::Reserved);
    assert_eq!(refused(Table::new("Search")), ErrorKind::Reserved);
    assert_eq!(refused(Table::new("Entities")), ErrorKind::Reserved);
    assert_eq!(refused(Table::new("entities").with_kind("thing")), ErrorKind::Conflict);
    assert_eq!(refused(Table::new("annals_x")), ErrorKind::Reserved);
    assert_eq!(refused(Table::new("sqlite_x")), ErrorKind::Reserved);
    assert_eq!(refused(Table::new("Notes").with_kind("x")), ErrorKind::Conflict);
    assert_eq!(refused(Table::new("papers").with_kind("note")), ErrorKind::Conflict);
    assert_eq!(refused(notes().with_kind("paper")), ErrorKind::Conflict);
    assert_eq!(refused(Table::new("papers").adopting("notes.create.validated", Action::Create)), ErrorKind::Conflict);
    let adopting =
        Catalog::core().with(Table::new("papers").adopting("later.create.validated", Action::Create)).unwrap();
    assert_eq!(adopting.with(Table::new("later")).unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(refused(Table::new("papers").adopting("annals.table.added", Action::Create)), ErrorKind::Invalid);
    assert_eq!(refused(Table::new("papers").adopting("a\u{1b}[2J", Action::Create)), ErrorKind::Invalid);
    for name in ["", "1a", "a-b", "a b", "é", "a/b", "a.b", &"a".repeat(64)] {
        assert_eq!(refused(Table::new(name).with_kind("k")), ErrorKind::Invalid, "{name}");
        assert_eq!(refused(Table::new("papers").with_kind(name)), ErrorKind::Invalid, "{name}");
    }
}

#[test]
fn a_table_can_be_changed_but_for_its_kind() {
    let catalog = Catalog::core().with(notes()).unwrap();
    let changed = catalog.with(notes().adopting("note.updated", Action::Update).indexing("title")).unwrap();
    assert_eq!(changed.own_tables().len(), 1);
    assert_eq!(changed.table("notes").unwrap().action_of("note.updated"), Some(Action::Update));
}

#[test]
fn a_table_stands_in_an_event_and_comes_back() {
    let table = notes().with_owner("alice").indexing("title").with_rules("notes");
    let text = serde_json::to_string(&table).unwrap();
    assert_eq!(serde_json::from_str::<Table>(&text).unwrap(), table);
    assert_eq!(serde_json::from_str::<Table>(r#"{"name":"a","kind":"b"}"#).unwrap(), Table::new("a").with_kind("b"));
}

#[test]
fn a_core_table_can_be_given_rules_and_fields_to_look_by() {
    let catalog = Catalog::core().with(Table::new("entities").with_rules("secrets").indexing("name")).unwrap();
    assert_eq!((catalog.tables().len(), catalog.own_tables().len()), (9, 0));
    assert_eq!(catalog.table("entities").unwrap().rules(), Some("secrets"));
    assert_eq!(catalog.table_of_kind("entity").unwrap().name(), "entities");
}

#[test]
fn the_constants_are_the_types_that_the_core_tables_generate() {
    use crate::catalog::types as t;
    let constants: Vec<&str> = [
        t::entities::ALL,
        t::documents::ALL,
        t::documentVersions::ALL,
        t::chatThreads::ALL,
        t::conversationMessages::ALL,
        t::webhookSubscriptions::ALL,
        t::apiKeys::ALL,
        t::tags::ALL,
        t::agents::ALL,
    ]
    .concat();
    let catalog = Catalog::core();
    let mut generated: Vec<String> = catalog.event_types().chain(catalog.decision_types()).collect();
    generated.retain(|name| name != WEBHOOK_DELIVER_REQUESTED);
    let mut sorted = constants.clone();
    sorted.sort_unstable();
    generated.sort_unstable();
    assert_eq!(sorted, generated);
    assert_eq!(t::apiKeys::DELETE_STALE, "apiKeys.delete.stale");
}
