//! Who is told when something happens that a person should know.
