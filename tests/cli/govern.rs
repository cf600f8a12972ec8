//! Who may do what: grants, roles, policy; and what a store knows.

use serde_json::json;

use crate::flow::pod;
use crate::run::Place;

const RULES: &str = r#"
[[rule]]
name = "scribe writes"
actor = "agent:scribe"
action = "notes.update"
then = "approve"
"#;

#[test]
fn a_grant_lets_an_agent_do_it_as_often_as_it_says() {
    let place = pod();
    assert!(place.good(&["grants", "pod"]).starts_with("no grants"));
    let add = ["grant", "pod", "add", "agent:scribe", "--action", "notes.*", "--subject", "note/*", "--uses", "1"];
    let given = place.json(&[&add[..], &["--until", "7d", "--actor", "user:alice"]].concat());
    assert_eq!((&given["id"], &given["agent"], &given["uses"]), (&json!(5), &json!("scribe"), &json!(1)), "{given}");
    let update =
        ["request", "pod", "update", "notes", "n-1", "--actor", "agent:scribe", "--data", r#"{"content":"B"}"#];
    place.good(&update);
    let listed = place.jsonl(&["grant", "pod", "list"]);
    assert_eq!((&listed[0]["used"], &listed[0]["live"], &listed[0]["by"]), (&json!(1), &json!(false), &json!("alice")));
    assert!(place.good(&["grant", "pod"]).contains("used up"));
    let ended = place.run(&update);
    assert_eq!(ended.code, 8, "it is used up: {ended:?}");
    let told = place.good(&["explain", "pod", "6"]);
    assert!(
        told.contains("It stands on grant 5, by which alice lets agent:scribe do notes.* to note/*, 1 use"),
        "{told}"
    );
    let revoke = ["revoke", "pod", "5", "--actor", "user:alice"];
    assert_eq!(place.json(&revoke)["id"], 5);
    place.bad(&revoke, 4, "grant 5 was revoked already");
    place.bad(&["grant", "pod", "revoke", "99", "--actor", "user:alice"], 3, "no grant has the number 99");
    place.bad(&["revoke", "nopod", "5", "--actor", "user:alice"], 3, "there is no store at nopod");
    place.bad(&["revoke", "pod", "five"], 2, "invalid value 'five'");
    place.bad(&[&add[..], &["--actor", "agent:scribe"]].concat(), 7, "agent:scribe");
    place.bad(&["grant", "pod", "add", "user:bob", "--action", "a", "--subject", "b"], 2, "invalid value 'user:bob'");
    place.bad(&["grant", "pod", "add", "scribe", "--subject", "b"], 2, "the following required arguments");
    place.bad(&[&add[..9], &["0", "--actor", "user:alice"]].concat(), 2, "a grant of no uses grants nothing");
}

#[test]
fn roles_are_given_by_owners_and_shown() {
    let place = pod();
    let set = |user: &'static str, role: &'static str, by: &'static str| {
        ["roles", "pod", "set", user, role, "--workspace", "7", "--actor", by]
    };
    assert!(place.good(&["roles", "pod"]).starts_with("no roles"));
    assert_eq!(place.good(&set("alice", "owner", "user:alice")), "alice is owner in workspace 7, position 5\n");
    let given = place.json(&set("user:bob", "editor", "user:alice"));
    assert_eq!(given, json!({"user": "bob", "workspace": "7", "role": "editor", "position": 6}));
    place.bad(&set("carol", "editor", "user:bob"), 7, "user:bob");
    place.bad(&set("carol", "king", "user:alice"), 2, "invalid value 'king'");
    place.bad(&["roles", "pod", "set", "carol", "editor"], 2, "the following required arguments");
    place.bad(&["roles", "nopod"], 3, "there is no store at nopod");
    assert_eq!(
        place.json(&["roles", "pod"]),
        json!([{"workspace": "7", "user": "alice", "role": "owner"}, {"workspace": "7", "user": "bob", "role": "editor"}])
    );
    place.good(&set("bob", "none", "user:alice"));
    assert_eq!(place.jsonl(&["roles", "pod", "list"]).len(), 1);
}

#[test]
fn a_policy_is_tried_on_the_past_before_it_is_set() {
    let place = pod();
    place.wish("B");
    place.good(&["reject", "pod", "5", "--actor", "user:alice"]);
    place.write("rules.toml", RULES);
    let before = place.jsonl(&["log", "pod"]).len();
    let out = place.good(&["policy", "pod", "test", "rules.toml"]);
    assert!(
        out.starts_with("1 of 2 requests would be decided otherwise\n1 of them would be approved, and a person"),
        "{out}"
    );
    let test = place.json(&["policy", "pod", "test", "rules.toml"]);
    assert_eq!((&test["requests"], &test["differences"][0]["a_person_refused"]), (&json!(2), &json!(true)), "{test}");
    assert_eq!(place.jsonl(&["log", "pod"]).len(), before, "a test changes nothing");
    assert!(place.good(&["policy", "pod"]).starts_with("no rules are set"));
    let set = place.json(&["policy", "pod", "set", "rules.toml", "--actor", "user:alice"]);
    assert_eq!(set["rules"], 1);
    assert!(place.good(&["policy", "pod", "show"]).contains("name = \"scribe writes\""));
    assert_eq!(place.json(&["policy", "pod", "show"])["rules"], RULES);
    place.good(&[
        "request",
        "pod",
        "update",
        "notes",
        "n-1",
        "--actor",
        "agent:scribe",
        "--data",
        r#"{"content":"B"}"#,
    ]);
    place.write("bad.toml", "[[rule]]\nname = 'x'\nthen = 'perhaps'\n");
    let ended = place.bad(&["policy", "pod", "set", "bad.toml", "--actor", "user:alice"], 2, "no rules: line 3");
    assert!(ended.err.contains("bad.toml"), "{ended:?}");
    place.bad(&["policy", "pod", "test", "bad.toml"], 2, "no rules: line 3");
    place.bad(&["policy", "pod", "set", "none.toml", "--actor", "user:alice"], 3, "cannot read none.toml");
    place.bad(&["policy", "pod", "set", "rules.toml", "--actor", "agent:scribe"], 7, "agent:scribe");
    place.bad(&["policy", "nopod", "show"], 3, "there is no store at nopod");
}

#[test]
fn a_store_tells_what_it_knows() {
    let place = pod();
    let known = place.json(&["capabilities", "pod"]);
    assert_eq!(
        (&known["eventTypes"], &known["decisionTypes"], &known["tables"]),
        (&json!(61), &json!(210), &json!(10))
    );
    let place = Place::new();
    place.good(&["append", "bare", "--type", "a", "--subject", "b/c"]);
    let known = place.json(&["capabilities", "bare"]);
    assert_eq!((&known["eventTypes"], &known["decisionTypes"], &known["tables"]), (&json!(55), &json!(189), &json!(9)));
    assert!(known["workers"].is_u64(), "{known}");
    assert!(place.good(&["capabilities", "bare"]).contains("event types"));
    place.bad(&["capabilities", "nopod"], 3, "there is no store at nopod");
}

#[test]
fn a_core_table_is_given_rules() {
    let place = Place::new();
    let add = ["tables", "pod", "add", "apiKeys", "--rules", "secrets", "--actor", "user:alice"];
    assert_eq!(place.good(&add), "table apiKeys of kind apiKey, ruled by secrets, position 1\n");
    let tables = place.jsonl(&["tables", "pod"]);
    let keys = tables.iter().find(|table| table["table"] == "apiKeys").unwrap();
    assert_eq!((&keys["rules"], &keys["core"]), (&json!("secrets"), &json!(true)));
    // A core table whose kind is not its name without an s.
    place.good(&["tables", "pod", "add", "entities", "--index", "name", "--actor", "user:alice"]);
    let secret = ["request", "pod", "create", "apiKeys", "--data", r#"{"secret":"s3cr3t"}"#, "--actor", "user:alice"];
    let ended = place.run(&secret);
    assert!(ended.code == 7 || ended.code == 1, "a secret in the clear is refused: {ended:?}");
}

#[test]
fn the_exit_codes_are_told_with_the_one_of_what_waits() {
    let place = Place::new();
    let codes = place.jsonl(&["help", "exit-codes"]);
    assert!(codes.iter().any(|code| code["code"] == 8 && code["meaning"] == "asked, or approved and waiting"));
    let verbs = place.good(&["help"]);
    for verb in ["request", "requests", "approve", "reject", "withdraw", "amend", "undo", "explain", "trace", "policy"]
    {
        assert!(verbs.contains(&format!("\n  {verb} ")), "{verb}: {verbs}");
        place.good(&["help", verb]);
    }
}
