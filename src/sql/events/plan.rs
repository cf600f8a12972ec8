//! Which parts of a WHERE the log answers itself, and what that costs.
//!
//! SQLite offers constraints, and the log takes what its own plan understands: equality and IN on indexed values,
//! bounds on positions and times, the order of positions. What is taken only narrows what is read; SQLite still checks
//! every row it gets, but for an equality of texts that are known to be texts, which the log decides exactly.

use rusqlite::types::ValueRef;
use rusqlite::vtab::{IndexConstraintOp as Op, IndexFlags, IndexInfo};

use super::columns::{Column, Used};
use crate::sql::times;

/// What the arguments of a search mean, in their order, and how the rows are to come.
#[derive(Debug, Clone)]
pub(super) struct Search {
    pub(super) access: Access,
    pub(super) parts: Vec<Part>,
    pub(super) newest_first: bool,
    pub(super) used: Used,
}

/// By what the events are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// The first part is the one position.
    Position,
    /// The first part is the id.
    Id,
    /// By a query, of which all parts are constraints.
    Query,
}

/// One argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) column: Column,
    pub(super) test: Test,
}

/// How an argument narrows its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Test {
    /// `=`: NULL matches nothing.
    Equal,
    /// `IS`: NULL is not for the log to find.
    Is,
    /// `IN`, all values at once.
    In,
    /// `GLOB`: only patterns such as `note.*` are for the log to find.
    Glob,
    More,
    MoreOrEqual,
    Less,
    LessOrEqual,
}

impl Test {
    fn of(operator: &Op) -> Option<Test> {
        Some(match operator {
            Op::SQLITE_INDEX_CONSTRAINT_EQ => Test::Equal,
            Op::SQLITE_INDEX_CONSTRAINT_IS => Test::Is,
            Op::SQLITE_INDEX_CONSTRAINT_GT => Test::More,
            Op::SQLITE_INDEX_CONSTRAINT_GE => Test::MoreOrEqual,
            Op::SQLITE_INDEX_CONSTRAINT_LT => Test::Less,
            Op::SQLITE_INDEX_CONSTRAINT_LE => Test::LessOrEqual,
            Op::SQLITE_INDEX_CONSTRAINT_GLOB => Test::Glob,
            _ => return None,
        })
    }

    fn is_bound(self) -> bool {
        matches!(self, Test::More | Test::MoreOrEqual | Test::Less | Test::LessOrEqual)
    }

    fn is_equality(self) -> bool {
        matches!(self, Test::Equal | Test::Is | Test::In)
    }

    fn sign(self) -> &'static str {
        match self {
            Test::Equal => "=?",
            Test::Is => " IS ?",
            Test::In => " IN (?)",
            Test::Glob => " GLOB ?",
            Test::More => ">?",
            Test::MoreOrEqual => ">=?",
            Test::Less => "<?",
            Test::LessOrEqual => "<=?",
        }
    }
}

/// A constraint that could be taken.
struct Offer {
    /// Its number among SQLite's.
    index: usize,
    part: Part,
    /// The value is known now and is a text.
    is_text: bool,
    /// SQLite would try one value after the other.
    in_turn: bool,
}

/// Columns whose values the log indexes or knows of every event, with the share of the events that one value has at a
/// guess. What is rarest comes first: a join then begins there.
const INDEXED: [(Column, f64); 8] = [
    (Column::Causation, 0.000_002),
    (Column::Subject, 0.000_02),
    (Column::Correlation, 0.000_02),
    (Column::OnBehalfOf, 0.02),
    (Column::Actor, 0.02),
    (Column::Type, 0.05),
    (Column::Source, 0.2),
    (Column::Kind, 0.2),
];

/// The share that a bound of positions or times leaves, at a guess.
const BOUND_SHARE: f64 = 0.3;

/// Chooses among the constraints that SQLite offers, tells it the choice, and returns it.
pub(super) fn choose(info: &mut IndexInfo, events: u64) -> rusqlite::Result<(Search, String)> {
    let offers = offers(info)?;
    let used = Used(info.col_used());
    let events = (events as f64).max(1.0);
    let of = |column: Column, wanted: &dyn Fn(&Offer) -> bool| {
        offers.iter().find(|offer| offer.part.column == column && wanted(offer))
    };
    let equality = |offer: &Offer| offer.part.test.is_equality();
    let plain = |offer: &Offer| equality(offer) && !offer.in_turn;

    let mut taken: Vec<&Offer> = Vec::new();
    let mut access = Access::Query;
    let (mut rows, mut cost);
    if let Some(offer) = of(Column::Position, &plain).or_else(|| of(Column::Position, &equality)) {
        access = Access::Position;
        taken.push(offer);
        (rows, cost) = (1.0, 10.0);
        info.set_idx_flags(IndexFlags::SQLITE_INDEX_SCAN_UNIQUE);
    } else if let Some(offer) = of(Column::Id, &plain).or_else(|| of(Column::Id, &equality)) {
        access = Access::Id;
        taken.push(offer);
        (rows, cost) = (1.0, 20.0);
    } else {
        rows = events;
        for (column, share) in INDEXED {
            // Of one column only one list can narrow; SQLite checks the others.
            let list = of(column, &plain).or_else(|| of(column, &equality));
            let Some(offer) = list.or_else(|| of(column, &|offer| offer.part.test == Test::Glob)) else { continue };
            taken.push(offer);
            rows *= if offer.in_turn { (share * 4.0).min(1.0) } else { share };
        }
        if let Some(actor_kind) = of(Column::ActorKind, &plain)
            && taken.iter().any(|offer| offer.part.column == Column::Actor)
        {
            taken.push(actor_kind);
        }
        let subject_id = of(Column::SubjectId, &plain);
        let kind = taken.iter().find(|offer| offer.part.column == Column::Kind && !offer.in_turn);
        if let (Some(subject_id), Some(_), None) = (subject_id, kind, of(Column::Subject, &equality)) {
            // Together they are a subject.
            taken.push(subject_id);
            rows *= 0.000_1;
        }
        for column in [Column::Position, Column::RecordedAt, Column::OccurredAt] {
            for offer in offers.iter().filter(|offer| offer.part.column == column) {
                if column == Column::Position || !offer.in_turn {
                    taken.push(offer);
                    rows *= BOUND_SHARE;
                }
            }
        }
        rows = rows.max(2.0);
        cost = 40.0 + rows * if used.data() { 4.0 } else { 1.0 };
    }
    // The order comes for nothing: SQLite need not sort.
    let newest_first = order(info);
    if newest_first.is_some() {
        info.set_order_by_consumed(true);
    }
    let mut parts = Vec::new();
    let mut told = Vec::new();
    for offer in taken {
        let mut part = offer.part;
        // An IN over positions or ids is asked value by value, each a look at one place.
        if offer.in_turn && access == Access::Query {
            info.set_in_constraint(offer.index, true)?;
            part.test = Test::In;
        }
        let mut usage = info.constraint_usage(offer.index);
        parts.push(part);
        usage.set_argv_index(parts.len() as i32);
        usage.set_omit(access == Access::Query && part.test == Test::Equal && offer.is_text && is_exact(part.column));
        told.push(format!("{}{}", part.column.name(), part.test.sign()));
    }
    if told.is_empty() {
        told.push("everything".to_owned());
    }
    if newest_first == Some(true) {
        told.push("newest first".to_owned());
    }
    if !used.data() {
        told.push("without data".to_owned());
    }
    cost = cost.max(1.0);
    rows = rows.max(1.0);
    info.set_estimated_cost(cost);
    info.set_estimated_rows(rows as i64);
    let search = Search { access, parts, newest_first: newest_first == Some(true), used };
    Ok((search, format!("log: {}", told.join(", "))))
}

/// Columns where the log's equality of texts is SQLite's.
fn is_exact(column: Column) -> bool {
    matches!(
        column,
        Column::Type
            | Column::Subject
            | Column::Kind
            | Column::OnBehalfOf
            | Column::Source
            | Column::Correlation
            | Column::Actor
    )
}

fn offers(info: &IndexInfo) -> rusqlite::Result<Vec<Offer>> {
    let mut offers = Vec::new();
    for (index, constraint) in info.constraints().enumerate() {
        let (Some(column), Some(test)) = (Column::from_number(constraint.column()), Test::of(&constraint.operator()))
        else {
            continue;
        };
        let is_time = matches!(column, Column::RecordedAt | Column::OccurredAt);
        let is_bounded = is_time || column == Column::Position;
        let is_known = match test {
            Test::Glob => column == Column::Type,
            _ if test.is_bound() => is_bounded,
            _ => {
                is_bounded
                    || INDEXED.iter().any(|(indexed, _)| *indexed == column)
                    || matches!(column, Column::Id | Column::ActorKind | Column::SubjectId)
            }
        };
        if !constraint.is_usable() || !is_known {
            continue;
        }
        // `type = 'A' COLLATE NOCASE` asks for more than the log would find.
        let collation = info.collation(index)?;
        let expected = if is_time { times::NAME } else { "BINARY" };
        if !collation.eq_ignore_ascii_case(expected) {
            continue;
        }
        let is_text = matches!(info.rhs_value(index)?, Some(ValueRef::Text(_)));
        let in_turn = info.is_in_constraint(index)?;
        offers.push(Offer { index, part: Part { column, test }, is_text, in_turn });
    }
    Ok(offers)
}

/// Whether the log gives its events in the order that is asked for, and if so whether that is newest first.
/// Positions are unique, so whatever stands behind them decides nothing; times of record never run against them.
fn order(info: &IndexInfo) -> Option<bool> {
    let mut direction = None;
    for by in info.order_bys() {
        let column = Column::from_number(by.column())?;
        if !matches!(column, Column::Position | Column::RecordedAt) {
            return None;
        }
        if *direction.get_or_insert(by.is_order_by_desc()) != by.is_order_by_desc() {
            return None;
        }
        if column == Column::Position {
            break;
        }
    }
    direction
}
