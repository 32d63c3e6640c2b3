//! What policies say: Cedar behind a pure type.
