//! The use cases, named by verbs.
