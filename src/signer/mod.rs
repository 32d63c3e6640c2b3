//! Keys, and the forms that are signed with them: tokens and certificates.
