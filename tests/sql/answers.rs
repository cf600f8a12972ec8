//! Random conditions over random logs, in raw and in sealed segments, held against the same filter in plain Rust.

use annals::{ActorKind, Options, SqlValue, Store, Timestamp};

use crate::common::sim::{self, NOW};
use crate::common::{ACTORS, CORRELATIONS, IDS, KINDS, Plain, Rng, SOURCES, SUBJECTS, Spec, TYPES};
use crate::{numbers, rows};

/// A condition in SQL, and what it means.
struct Condition {
    sql: String,
    params: Vec<SqlValue>,
    holds: Box<Holds>,
}

/// `None` is SQL's NULL: neither true nor false.
type Holds = dyn Fn(&Plain) -> Option<bool>;

/// A log of random events, in small segments.
fn log(rng: &mut Rng, events: usize) -> (Store, Vec<Plain>) {
    let clock = sim::clock();
    let options: Options = sim::options(&clock).segment_bytes(annals::limits::SEGMENT_BYTES_MIN);
    let store = sim::open(&annals::sim::SimStorage::new(), options).unwrap();
    let mut held: Vec<Plain> = Vec::new();
    while held.len() < events {
        clock.advance(rng.below(30) as i64);
        let now = held.last().map_or(NOW, |event| event.recorded_at);
        let count = 1 + rng.index(40);
        let mut specs = Spec::batch(rng, count, now);
        specs.iter_mut().for_each(|spec| spec.data.truncate(500));
        let done = store.append(Spec::events(&specs)).unwrap();
        for (index, spec) in specs.iter().enumerate() {
            let version = 1 + held.iter().filter(|event| event.subject == spec.subject).count() as u64;
            held.push(Plain::of_spec(spec, done.first.get(), index, version, 1, done.recorded_at.as_nanos()));
        }
    }
    (store, held)
}

/// A value in the statement: as it is written there, or as a parameter.
fn value(rng: &mut Rng, value: SqlValue, params: &mut Vec<SqlValue>) -> String {
    if rng.happens(8) {
        params.push(value);
        return "?".to_owned();
    }
    match value {
        SqlValue::Null => "NULL".to_owned(),
        SqlValue::Integer(number) => number.to_string(),
        SqlValue::Real(number) => format!("{number:?}"),
        SqlValue::Text(text) => format!("'{}'", text.replace('\'', "''")),
        _ => unreachable!(),
    }
}

type TextOf = fn(&Plain) -> Option<String>;

/// A column of texts, some of the values that it has, and how it is read from an event.
fn text_column(rng: &mut Rng) -> (&'static str, String, TextOf) {
    let columns: &[(&'static str, &[&str], TextOf)] = &[
        ("type", TYPES, |event| Some(event.event_type.clone())),
        ("subject", SUBJECTS, |event| Some(event.subject.clone())),
        ("kind", KINDS, |event| Some(event.subject.split_once('/').unwrap().0.to_owned())),
        ("subject_id", &["n-1", "a/b", "ü 1", "nobody"], |event| {
            Some(event.subject.split_once('/').unwrap().1.to_owned())
        }),
        ("actor", ACTORS, |event| event.actor.clone().map(|(_, id)| id)),
        ("actor_kind", &["user", "agent", "external", "unknown", "USER"], |event| {
            event.actor.as_ref().map(|(kind, _)| kind.as_str().to_owned())
        }),
        ("on_behalf_of", ACTORS, |event| event.on_behalf_of.clone()),
        ("source", SOURCES, |event| event.source.clone()),
        ("correlation", CORRELATIONS, |event| event.correlation.clone()),
    ];
    let (name, values, of) = *rng.pick(columns);
    let value = if rng.happens(1) { "none of these".to_owned() } else { rng.text(values) };
    (name, value, of)
}

fn text_condition(rng: &mut Rng) -> Condition {
    let (column, wanted, of) = text_column(rng);
    let mut params = Vec::new();
    match rng.below(10) {
        0..=4 => {
            let told = value(rng, wanted.as_str().into(), &mut params);
            let sign = *rng.pick(&["=", "=", "==", "IS"]);
            let is = sign == "IS";
            let holds = move |event: &Plain| match of(event) {
                Some(found) => Some(found == wanted),
                None => is.then_some(false),
            };
            Condition { sql: format!("{column} {sign} {told}"), params, holds: Box::new(holds) }
        }
        5..=6 => {
            let mut list = vec![wanted];
            list.extend((0..rng.below(3)).map(|_| text_column(rng).1));
            let told: Vec<String> = list.iter().map(|text| value(rng, text.as_str().into(), &mut params)).collect();
            let sql = format!("{column} IN ({})", told.join(", "));
            Condition { sql, params, holds: Box::new(move |event| of(event).map(|found| list.contains(&found))) }
        }
        7 => {
            let told = value(rng, SqlValue::Null, &mut params);
            match rng.happens(8) {
                true => Condition {
                    sql: format!("{column} IS {told}"),
                    params,
                    holds: Box::new(move |event| Some(of(event).is_none())),
                },
                false => Condition { sql: format!("{column} = {told}"), params, holds: Box::new(|_| None) },
            }
        }
        8 => {
            let told = value(rng, wanted.to_uppercase().as_str().into(), &mut params);
            let sql = format!("{column} = {told} COLLATE NOCASE");
            // NOCASE knows ASCII alone.
            let upper = wanted.to_uppercase();
            Condition {
                sql,
                params,
                holds: Box::new(move |event| of(event).map(|found| found.eq_ignore_ascii_case(&upper))),
            }
        }
        _ => {
            let told = value(rng, wanted.as_str().into(), &mut params);
            let sql = format!("NOT {column} = {told}");
            Condition { sql, params, holds: Box::new(move |event| of(event).map(|found| found != wanted)) }
        }
    }
}

fn glob_condition(rng: &mut Rng) -> Condition {
    let mut params = Vec::new();
    let pattern = rng.text(&["note.*", "notes.*", "a.*", "notes.*.validated", "*", "..*", "plain", "note.[ce]*", ".*"]);
    let sql = format!("type GLOB {}", value(rng, pattern.as_str().into(), &mut params));
    let holds = move |event: &Plain| {
        let found = event.event_type.as_str();
        Some(match pattern.as_str() {
            "*" => true,
            "plain" => found == "plain",
            "note.[ce]*" => found.starts_with("note.c") || found.starts_with("note.e"),
            "notes.*.validated" => {
                found.len() >= "notes..validated".len() && found.starts_with("notes.") && found.ends_with(".validated")
            }
            pattern => found.starts_with(pattern.strip_suffix('*').unwrap()),
        })
    };
    Condition { sql, params, holds: Box::new(holds) }
}

fn compared<T: PartialOrd>(sign: &str, left: &T, right: &T) -> bool {
    match sign {
        "=" => left == right,
        "<" => left < right,
        "<=" => left <= right,
        ">" => left > right,
        _ => left >= right,
    }
}

fn number_condition(rng: &mut Rng, events: u64) -> Condition {
    type NumberOf = fn(&Plain) -> Option<i64>;
    let columns: &[(&str, NumberOf)] = &[
        ("version", |event| Some(event.version as i64)),
        ("causation", |event| event.causation.map(|cause| cause as i64)),
        ("position", |event| Some(event.position as i64)),
        ("position", |event| Some(event.position as i64)),
        ("rowid", |event| Some(event.position as i64)),
    ];
    let (column, of) = *rng.pick(columns);
    let mut params = Vec::new();
    let sign = rng.text(&["=", "=", "<", "<=", ">", ">="]);
    let bound = if column == "position" { events + 10 } else { 30 };
    let number = rng.below(bound) as i64 - 4;
    if rng.happens(3) {
        let list: Vec<i64> = (0..rng.below(4)).map(|_| rng.below(bound) as i64).collect();
        let told: Vec<String> = list.iter().map(|number| value(rng, (*number).into(), &mut params)).collect();
        let sql = format!("{column} IN ({})", told.join(", "));
        let holds = move |event: &Plain| of(event).map(|found| list.contains(&found));
        return Condition { sql, params, holds: Box::new(holds) };
    }
    let (told, exact) = match rng.below(8) {
        0 => (SqlValue::Real(number as f64 + 0.5), number as f64 + 0.5),
        1 => (SqlValue::Real(number as f64), number as f64),
        2 => (number.to_string().as_str().into(), number as f64),
        3 => (format!("0{}.0", number.abs()).as_str().into(), number.abs() as f64),
        _ => (number.into(), number as f64),
    };
    let sql = format!("{column} {sign} {}", value(rng, told, &mut params));
    let holds = move |event: &Plain| of(event).map(|found| compared(&sign, &(found as f64), &exact));
    Condition { sql, params, holds: Box::new(holds) }
}

/// A time in one of the spellings that mean the same.
fn spelt(rng: &mut Rng, nanos: i64) -> String {
    let time = Timestamp::from_nanos(nanos).to_string();
    match rng.below(4) {
        0 => {
            let hour_later = Timestamp::from_nanos(nanos + 3_600_000_000_000).to_string();
            format!("{}+01:00", hour_later.trim_end_matches('Z'))
        }
        1 => time.trim_end_matches('Z').replace('T', " "),
        2 if nanos % 1_000_000_000 == 0 => format!("{}.000Z", time.trim_end_matches('Z')),
        _ => time,
    }
}

fn time_condition(rng: &mut Rng, held: &[Plain]) -> Condition {
    let mut params = Vec::new();
    let sign = rng.text(&["=", "<", "<=", ">", ">="]);
    let (column, of): (&str, fn(&Plain) -> i64) = match rng.happens(8) {
        true => ("recorded_at", |event| event.recorded_at),
        false => ("occurred_at", |event| event.occurred_at),
    };
    let day = NOW - NOW.rem_euclid(86_400_000_000_000);
    let (told, exact) = match rng.below(8) {
        0 => ("1600-01-01".to_owned(), i64::MIN),
        1 => ("2500".to_owned(), i64::MAX),
        2 => (Timestamp::from_nanos(day).to_string()[..10].to_owned(), day),
        _ => {
            let nanos = of(rng.pick(held)) + rng.below(5) as i64 - 2;
            (spelt(rng, nanos), nanos)
        }
    };
    let sql = format!("{column} {sign} {}", value(rng, told.as_str().into(), &mut params));
    Condition { sql, params, holds: Box::new(move |event| Some(compared(&sign, &of(event), &exact))) }
}

fn id_condition(rng: &mut Rng, held: &[Plain], log: &str) -> Condition {
    let mut params = Vec::new();
    let ids: Vec<String> =
        (0..1 + rng.below(3)).map(|_| if rng.happens(8) { rng.text(IDS) } else { rng.pick(held).id(log) }).collect();
    let told: Vec<String> = ids.iter().map(|id| value(rng, id.as_str().into(), &mut params)).collect();
    let sql = format!("id IN ({})", told.join(", "));
    let log = log.to_owned();
    Condition { sql, params, holds: Box::new(move |event| Some(ids.contains(&event.id(&log)))) }
}

fn condition(rng: &mut Rng, held: &[Plain], log: &str) -> Condition {
    match rng.below(16) {
        0..=7 => text_condition(rng),
        8 => glob_condition(rng),
        9..=11 => number_condition(rng, held.len() as u64),
        12..=14 => time_condition(rng, held),
        _ => id_condition(rng, held, log),
    }
}

/// Asks for the events for which all conditions of any group hold.
fn ask(rng: &mut Rng, store: &Store, held: &[Plain], log: &str) {
    let groups: Vec<Vec<Condition>> = (0..if rng.happens(3) { 2 } else { 1 })
        .map(|_| (0..1 + rng.below(3)).map(|_| condition(rng, held, log)).collect())
        .collect();
    let together = |group: &Vec<Condition>| {
        let parts: Vec<&str> = group.iter().map(|condition| condition.sql.as_str()).collect();
        format!("({})", parts.join(" AND "))
    };
    let mut sql =
        format!("SELECT position FROM events WHERE {}", groups.iter().map(together).collect::<Vec<_>>().join(" OR "));
    let params: Vec<SqlValue> = groups.iter().flatten().flat_map(|condition| condition.params.clone()).collect();
    let fits = |event: &&Plain| {
        groups.iter().any(|group| group.iter().all(|condition| (condition.holds)(event) == Some(true)))
    };
    let mut expected: Vec<i64> = held.iter().filter(fits).map(|event| event.position as i64).collect();
    let order =
        rng.text(&["", " ORDER BY position", " ORDER BY position DESC", " ORDER BY recorded_at DESC, position DESC"]);
    sql.push_str(&order);
    if order.contains("DESC") {
        expected.reverse();
    }
    if !order.is_empty() && rng.happens(6) {
        let limit = rng.index(8);
        sql.push_str(&format!(" LIMIT {limit}"));
        expected.truncate(limit);
    }
    let mut found = numbers(store, &sql, params.clone());
    if order.is_empty() {
        found.sort_unstable();
    }
    assert_eq!(found, expected, "{sql}\n{params:?}");
}

#[test]
fn conditions_mean_in_sql_what_they_mean_in_rust() {
    // More in a release build, and as many as one likes.
    let seeds = if cfg!(debug_assertions) { 3 } else { 12 };
    let seeds = std::env::var("ANNALS_SQL_SEEDS").ok().map_or(seeds, |text| text.parse().unwrap());
    for seed in 0..seeds {
        let mut rng = Rng::new(seed);
        let (store, held) = log(&mut rng, 1500);
        let log = store.stats().log.to_string();
        for _ in 0..300 {
            ask(&mut rng, &store, &held, &log);
        }
        assert!(store.seal().unwrap().events > 0);
        for _ in 0..300 {
            ask(&mut rng, &store, &held, &log);
        }
    }
}

/// Every column of every event, with all that an event may lack or have.
#[test]
fn every_column_holds_what_the_event_does() {
    let mut rng = Rng::new(99);
    let (store, held) = log(&mut rng, 600);
    let log = store.stats().log.to_string();
    for _ in 0..2 {
        let all = rows(&store, "SELECT *, meta FROM events", ());
        assert_eq!(all.len(), held.len());
        for (row, event) in all.iter().zip(&held) {
            let get = |name: &str| row.named(name).cloned().unwrap();
            let maybe = |text: &Option<String>| text.clone().map_or(SqlValue::Null, SqlValue::from);
            assert_eq!(get("position"), event.position.to_sql());
            assert_eq!(get("version"), event.version.to_sql());
            assert_eq!(get("id"), event.id(&log).into());
            assert_eq!(
                (get("type"), get("subject")),
                (event.event_type.as_str().into(), event.subject.as_str().into())
            );
            let (kind, id) = event.subject.split_once('/').unwrap();
            assert_eq!((get("kind"), get("subject_id")), (kind.into(), id.into()));
            let actor = event.actor.clone();
            assert_eq!(get("actor"), maybe(&actor.clone().map(|(_, id)| id)));
            assert_eq!(get("actor_kind"), maybe(&actor.map(|(kind, _): (ActorKind, _)| kind.as_str().to_owned())));
            assert_eq!(get("on_behalf_of"), maybe(&event.on_behalf_of));
            assert_eq!((get("source"), get("correlation")), (maybe(&event.source), maybe(&event.correlation)));
            assert_eq!(get("recorded_at"), Timestamp::from_nanos(event.recorded_at).into());
            assert_eq!(get("occurred_at"), Timestamp::from_nanos(event.occurred_at).into());
            assert_eq!(get("causation"), event.causation.map_or(SqlValue::Null, |cause| cause.to_sql()));
            assert_eq!(get("tags"), serde_json::to_string(&event.tags).unwrap().into());
            let meta: serde_json::Map<String, serde_json::Value> =
                event.meta.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
            assert_eq!(get("meta"), serde_json::to_string(&meta).unwrap().into());
            assert_eq!(get("content_type"), maybe(&Some(event.content_type.clone()).filter(|text| !text.is_empty())));
            let data = match (event.content_type.as_str(), String::from_utf8(event.data.clone())) {
                ("", _) if event.data.is_empty() => SqlValue::Null,
                ("application/json" | "text/plain", Ok(text)) => text.into(),
                _ => event.data.clone().into(),
            };
            assert_eq!(get("data"), data, "{}", event.position);
        }
        store.seal().unwrap();
    }
}

trait ToSql {
    fn to_sql(&self) -> SqlValue;
}

impl ToSql for u64 {
    fn to_sql(&self) -> SqlValue {
        SqlValue::Integer(*self as i64)
    }
}
