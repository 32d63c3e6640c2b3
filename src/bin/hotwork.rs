//! The command of agents, operators and responders.

fn main() {}
