//! An order for things that lead to each other.

use std::collections::BTreeSet;

/// `from` and all that they lead to, each once and behind whatever it leads to. In a circle somebody comes too early.
pub(super) fn last_first<T: Copy + Ord, N: IntoIterator<Item = T>>(
    from: impl IntoIterator<Item = T>,
    leads_to: impl Fn(T) -> N,
) -> Vec<T> {
    let (mut done, mut seen) = (Vec::new(), BTreeSet::new());
    let mut open: Vec<(T, bool)> = from.into_iter().map(|node| (node, false)).collect();
    while let Some((node, is_seen)) = open.pop() {
        if is_seen {
            done.push(node);
        } else if seen.insert(node) {
            open.push((node, true));
            open.extend(leads_to(node).into_iter().map(|next| (next, false)));
        }
    }
    done
}
