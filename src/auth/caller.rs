//! Who asks, as far as that is known.

use crate::model::{SessionId, Timestamp, UserId};

/// What a token says that was found good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Whose it is.
    pub user: UserId,
    /// Which sign-in it belongs to; `None` for a token of another issuer.
    pub session: Option<SessionId>,
    /// When it was made.
    pub issued_at: Timestamp,
    /// From when on it is worth nothing.
    pub expires_at: Timestamp,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Sign-in is open: whoever the request names.
    Anybody,
    /// Sign-in is needed, and the request brings no token.
    Nobody,
    /// A user who has signed in.
    User(Claims),
}

impl Caller {
    /// The user, where one has signed in.
    pub fn user(&self) -> Option<&UserId> {
        match self {
            Self::User(claims) => Some(&claims.user),
            Self::Anybody | Self::Nobody => None,
        }
    }
}
