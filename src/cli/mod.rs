//! The `hotwork` command.
