//! How often notices of one destination were refused: a graver one that comes between does not begin the count anew.

use std::collections::VecDeque;

/// How many are counted: each lane's first, and some that were dropped meanwhile.
const COUNTED_MAX: usize = 16;

/// The counts, by the notices' ids; the newest last.
#[derive(Debug, Default)]
pub(super) struct Refusals(VecDeque<(String, u32)>);

impl Refusals {
    /// Counts one more of the notice. Gives how many there were.
    pub(super) fn one_more(&mut self, id: &str) -> u32 {
        let before = self.0.iter().position(|(known, _)| known == id).and_then(|at| self.0.remove(at));
        let count = before.map_or(0, |(_, count)| count).saturating_add(1);
        if self.0.len() >= COUNTED_MAX {
            self.0.pop_front();
        }
        self.0.push_back((id.to_owned(), count));
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_for_itself_whatever_comes_between() {
        let mut refusals = Refusals::default();
        assert_eq!(["a", "b", "a", "b", "a"].map(|id| refusals.one_more(id)), [1, 1, 2, 2, 3]);
        (0..COUNTED_MAX).for_each(|id| assert_eq!(refusals.one_more(&id.to_string()), 1));
        assert_eq!(refusals.0.len(), COUNTED_MAX);
    }
}
