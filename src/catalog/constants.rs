//! The types that tables generate, as constants.

/// Makes a module of constants of the types that tables generate, one module a table: `types::notes::CREATE_REQUESTED`
/// is `"notes.create.requested"`. A type that is mistyped then does not compile.
///
/// ```
/// annals::tables! {
///     /// The types of this application's own tables.
///     pub mod types { notes, invoices }
/// }
///
/// # fn main() {
/// assert_eq!(types::notes::UPDATE_VALIDATED, "notes.update.validated");
/// assert_eq!(types::invoices::TABLE, "invoices");
/// # }
/// ```
#[macro_export]
macro_rules! tables {
    ($(#[$about:meta])* $visible:vis mod $module:ident { $($table:ident),+ $(,)? }) => {
        $(#[$about])*
        $visible mod $module {
            $(
                #[doc = concat!("Of the table ", stringify!($table), ".")]
                #[allow(non_snake_case, reason = "it is called like its table")]
                pub mod $table {
                    /// The table.
                    pub const TABLE: &str = stringify!($table);
                    $crate::tables!(@types $table
                        CREATE_REQUESTED "create.requested", CREATE_ASKED "create.asked",
                        CREATE_APPROVED "create.approved", CREATE_REJECTED "create.rejected",
                        CREATE_EXPIRED "create.expired", CREATE_WITHDRAWN "create.withdrawn",
                        CREATE_FAILED "create.failed", CREATE_STALE "create.stale",
                        CREATE_VALIDATED "create.validated",
                        UPDATE_REQUESTED "update.requested", UPDATE_ASKED "update.asked",
                        UPDATE_APPROVED "update.approved", UPDATE_REJECTED "update.rejected",
                        UPDATE_EXPIRED "update.expired", UPDATE_WITHDRAWN "update.withdrawn",
                        UPDATE_FAILED "update.failed", UPDATE_STALE "update.stale",
                        UPDATE_VALIDATED "update.validated",
                        DELETE_REQUESTED "delete.requested", DELETE_ASKED "delete.asked",
                        DELETE_APPROVED "delete.approved", DELETE_REJECTED "delete.rejected",
                        DELETE_EXPIRED "delete.expired", DELETE_WITHDRAWN "delete.withdrawn",
                        DELETE_FAILED "delete.failed", DELETE_STALE "delete.stale",
                        DELETE_VALIDATED "delete.validated"
                    );
                    /// All of them: each action in each phase.
                    pub const ALL: [&str; 27] = [
                        CREATE_REQUESTED, CREATE_ASKED, CREATE_APPROVED, CREATE_REJECTED, CREATE_EXPIRED,
                        CREATE_WITHDRAWN, CREATE_FAILED, CREATE_STALE, CREATE_VALIDATED,
                        UPDATE_REQUESTED, UPDATE_ASKED, UPDATE_APPROVED, UPDATE_REJECTED, UPDATE_EXPIRED,
                        UPDATE_WITHDRAWN, UPDATE_FAILED, UPDATE_STALE, UPDATE_VALIDATED,
                        DELETE_REQUESTED, DELETE_ASKED, DELETE_APPROVED, DELETE_REJECTED, DELETE_EXPIRED,
                        DELETE_WITHDRAWN, DELETE_FAILED, DELETE_STALE, DELETE_VALIDATED,
                    ];
                }
            )+
        }
    };
    (@types $table:ident $($name:ident $rest:literal),+) => {
        $(
            #[doc = concat!("`", stringify!($table), ".", $rest, "`")]
            pub const $name: &str = concat!(stringify!($table), ".", $rest);
        )+
    };
}

crate::tables! {
    /// The types of the core tables, as constants: `types::entities::CREATE_REQUESTED`. [`tables!`](crate::tables) makes
    /// the same for tables of your own.
    pub mod types {
        entities, documents, documentVersions, chatThreads, conversationMessages, webhookSubscriptions, apiKeys, tags,
        agents,
    }
}
