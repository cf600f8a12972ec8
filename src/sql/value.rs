//! What goes into a statement and what comes out of it, in types of our own.

use std::sync::Arc;

use crate::position::Position;
use crate::time::Timestamp;

/// A value of SQL: what a parameter is, and what a row holds.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub enum SqlValue {
    /// No value.
    #[default]
    Null,
    /// A whole number.
    Integer(i64),
    /// A floating-point number.
    Real(f64),
    /// A text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

impl SqlValue {
    /// Whether it is NULL.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, SqlValue::Null)
    }

    /// The whole number, if it is one.
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        if let SqlValue::Integer(number) = self { Some(*number) } else { None }
    }

    /// The number, whole or not, if it is one.
    #[must_use]
    pub fn as_real(&self) -> Option<f64> {
        match self {
            SqlValue::Integer(number) => Some(*number as f64),
            SqlValue::Real(number) => Some(*number),
            _ => None,
        }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        if let SqlValue::Text(text) = self { Some(text) } else { None }
    }

    /// The bytes, of a text too.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            SqlValue::Text(text) => Some(text.as_bytes()),
            SqlValue::Blob(bytes) => Some(bytes),
            _ => None,
        }
    }
}

macro_rules! from_whole_number {
    ($($number:ty),*) => {$(
        impl From<$number> for SqlValue {
            fn from(number: $number) -> SqlValue {
                SqlValue::Integer(i64::from(number))
            }
        }
    )*};
}

from_whole_number!(i8, i16, i32, i64, u8, u16, u32, bool);

impl From<Position> for SqlValue {
    /// A position that no log reaches becomes the largest that SQL has.
    fn from(position: Position) -> SqlValue {
        SqlValue::Integer(i64::try_from(position.get()).unwrap_or(i64::MAX))
    }
}

impl From<Timestamp> for SqlValue {
    /// The text that the columns of times hold.
    fn from(time: Timestamp) -> SqlValue {
        SqlValue::Text(time.to_string())
    }
}

impl From<f32> for SqlValue {
    fn from(number: f32) -> SqlValue {
        SqlValue::Real(f64::from(number))
    }
}

impl From<f64> for SqlValue {
    fn from(number: f64) -> SqlValue {
        SqlValue::Real(number)
    }
}

impl From<&str> for SqlValue {
    fn from(text: &str) -> SqlValue {
        SqlValue::Text(text.to_owned())
    }
}

impl From<&String> for SqlValue {
    fn from(text: &String) -> SqlValue {
        SqlValue::Text(text.clone())
    }
}

impl From<String> for SqlValue {
    fn from(text: String) -> SqlValue {
        SqlValue::Text(text)
    }
}

impl From<&[u8]> for SqlValue {
    fn from(bytes: &[u8]) -> SqlValue {
        SqlValue::Blob(bytes.to_vec())
    }
}

impl From<Vec<u8>> for SqlValue {
    fn from(bytes: Vec<u8>) -> SqlValue {
        SqlValue::Blob(bytes)
    }
}

impl<T: Into<SqlValue>> From<Option<T>> for SqlValue {
    fn from(value: Option<T>) -> SqlValue {
        value.map_or(SqlValue::Null, Into::into)
    }
}

/// The parameters of a statement, for `?1`, `?2` and so on: `()` or `[]` for none, an array, a slice or a vector of
/// values of one type, or a tuple of values of several.
pub trait SqlParams {
    /// The values, in order.
    fn into_values(self) -> Vec<SqlValue>;
}

impl SqlParams for () {
    fn into_values(self) -> Vec<SqlValue> {
        Vec::new()
    }
}

impl<T: Into<SqlValue>> SqlParams for Vec<T> {
    fn into_values(self) -> Vec<SqlValue> {
        self.into_iter().map(Into::into).collect()
    }
}

impl<T: Into<SqlValue> + Clone> SqlParams for &[T] {
    fn into_values(self) -> Vec<SqlValue> {
        self.iter().cloned().map(Into::into).collect()
    }
}

// One array for each length, and the empty one of one type only: so `[]` needs no type told.
impl SqlParams for [SqlValue; 0] {
    fn into_values(self) -> Vec<SqlValue> {
        Vec::new()
    }
}

impl SqlParams for &[SqlValue; 0] {
    fn into_values(self) -> Vec<SqlValue> {
        Vec::new()
    }
}

macro_rules! params_of_arrays {
    ($($len:literal)*) => {$(
        impl<T: Into<SqlValue>> SqlParams for [T; $len] {
            fn into_values(self) -> Vec<SqlValue> {
                self.into_iter().map(Into::into).collect()
            }
        }

        impl<T: Into<SqlValue> + Clone> SqlParams for &[T; $len] {
            fn into_values(self) -> Vec<SqlValue> {
                self.as_slice().into_values()
            }
        }
    )*};
}

params_of_arrays!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16);

macro_rules! params_of_tuples {
    ($($($name:ident)+;)*) => {$(
        impl<$($name: Into<SqlValue>),+> SqlParams for ($($name,)+) {
            fn into_values(self) -> Vec<SqlValue> {
                #[allow(non_snake_case, reason = "each type parameter lends its name to its value")]
                let ($($name,)+) = self;
                vec![$($name.into()),+]
            }
        }
    )*};
}

params_of_tuples! {
    A;
    A B;
    A B C;
    A B C D;
    A B C D E;
    A B C D E F;
    A B C D E F G;
    A B C D E F G H;
}

/// One row of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub(super) columns: Arc<[String]>,
    pub(super) values: Vec<SqlValue>,
}

impl Row {
    /// The value of a column, counted from 0; `None` beyond the last.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&SqlValue> {
        self.values.get(index)
    }

    /// The value of the first column of this name, in any case as SQL has it; `None` if there is none.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&SqlValue> {
        self.get(self.columns.iter().position(|column| column.eq_ignore_ascii_case(name))?)
    }

    /// The names of the columns.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// All values, in the order of the columns.
    #[must_use]
    pub fn values(&self) -> &[SqlValue] {
        &self.values
    }

    /// All values, without a copy.
    #[must_use]
    pub fn into_values(self) -> Vec<SqlValue> {
        self.values
    }
}
