//! Channels while classes are still being found: pieces that are united with one another and cut in two.

use std::collections::VecDeque;

/// A run of a tensor's features: all channels of a set, each `span` features wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// The set; it may be cut later, and then stands for its halves.
    pub set: usize,
    /// Features per channel.
    pub span: usize,
}

/// Disjoint sets of channels of one length each. The root of a tree stands for all that was united; a root that was cut
/// has two halves instead of a length of its own.
pub(super) struct Pieces {
    parent: Vec<usize>,
    len: Vec<usize>,
    halves: Vec<Option<(usize, usize)>>,
    frozen: Vec<Option<String>>,
    /// Steps that the analysis may still take, so that no file makes it run for long.
    steps: usize,
}

impl Default for Pieces {
    fn default() -> Self {
        Pieces { parent: vec![], len: vec![], halves: vec![], frozen: vec![], steps: 1 << 22 }
    }
}

impl Pieces {
    /// A new set of as many channels.
    pub fn fresh(&mut self, channels: usize) -> Piece {
        self.parent.push(self.parent.len());
        self.len.push(channels);
        self.halves.push(None);
        self.frozen.push(None);
        Piece { set: self.parent.len() - 1, span: 1 }
    }

    /// What stands for a set.
    pub fn root(&mut self, mut set: usize) -> usize {
        while self.parent[set] != set {
            self.parent[set] = self.parent[self.parent[set]];
            set = self.parent[set];
        }
        set
    }

    /// Channels of a root.
    pub fn len(&self, root: usize) -> usize {
        self.len[root]
    }

    /// Why the channels of a root cannot be removed.
    pub fn frozen(&self, root: usize) -> Option<&str> {
        self.frozen[root].as_deref()
    }

    /// Marks a piece that was not cut as one that stays; the first reason is kept.
    pub fn freeze(&mut self, piece: Piece, why: &str) {
        let root = self.root(piece.set);
        self.frozen[root].get_or_insert_with(|| why.to_owned());
    }

    /// [`Pieces::freeze`] for all of a tensor. `None`: too many steps, as everywhere here.
    pub fn freeze_all(&mut self, tensor: &[Piece], why: &str) -> Option<()> {
        self.resolve(tensor)?.into_iter().for_each(|piece| self.freeze(piece, why));
        Some(())
    }

    fn step(&mut self) -> Option<()> {
        self.steps = self.steps.checked_sub(1)?;
        Some(())
    }

    /// The first of `queue` that is not cut, as its root; those behind it stay in the queue.
    fn next(&mut self, queue: &mut VecDeque<Piece>) -> Option<Option<Piece>> {
        while let Some(piece) = queue.pop_front() {
            self.step()?;
            let set = self.root(piece.set);
            match self.halves[set] {
                None => return Some(Some(Piece { set, ..piece })),
                Some((left, right)) => {
                    queue.push_front(Piece { set: right, ..piece });
                    queue.push_front(Piece { set: left, ..piece });
                }
            }
        }
        Some(None)
    }

    /// A tensor in the pieces that there are now, each a root.
    pub fn resolve(&mut self, tensor: &[Piece]) -> Option<Vec<Piece>> {
        let mut queue = VecDeque::from(tensor.to_vec());
        let mut out = Vec::with_capacity(tensor.len());
        while let Some(piece) = self.next(&mut queue)? {
            out.push(piece);
        }
        Some(out)
    }

    /// Cuts a root behind its first `at` channels.
    fn split(&mut self, root: usize, at: usize) -> (usize, usize) {
        let why = self.frozen[root].clone();
        let (left, right) = (self.fresh(at).set, self.fresh(self.len[root] - at).set);
        self.frozen[left] = why.clone();
        self.frozen[right] = why;
        self.halves[root] = Some((left, right));
        (left, right)
    }

    /// The features `begin..begin + len` of a tensor, which is cut there; `None` inside where that would cut a channel.
    pub fn cut(&mut self, tensor: &[Piece], begin: usize, len: usize) -> Option<Option<Vec<Piece>>> {
        let mut queue = VecDeque::from(tensor.to_vec());
        let (mut at, mut out) = (0, Vec::new());
        while let Some(piece) = self.next(&mut queue)? {
            let end = at + self.len[piece.set] * piece.span;
            // The first bound that lies inside of this piece.
            let bound = [begin, begin + len].into_iter().find(|bound| (at + 1..end).contains(bound));
            if let Some(bound) = bound {
                if !(bound - at).is_multiple_of(piece.span) {
                    return Some(None);
                }
                self.split(piece.set, (bound - at) / piece.span);
                queue.push_front(piece);
                continue;
            }
            if (begin..begin + len).contains(&at) {
                out.push(piece);
            }
            at = end;
        }
        Some(Some(out))
    }

    /// Makes the channels of two tensors with as many features the same, one by one; where channels are of different widths,
    /// all are frozen.
    pub fn unite(&mut self, a: &[Piece], b: &[Piece], why: &str) -> Option<()> {
        let (mut left, mut right) = (VecDeque::from(a.to_vec()), VecDeque::from(b.to_vec()));
        while let (Some(x), Some(y)) = (self.next(&mut left)?, self.next(&mut right)?) {
            if x.span != y.span {
                self.freeze_all(a, why)?;
                self.freeze_all(b, why)?;
                break;
            }
            let (n, m) = (self.len[x.set], self.len[y.set]);
            if x.set != y.set && n == m {
                self.merge(x.set, y.set);
            } else if n != m {
                let longer = if n > m { x.set } else { y.set };
                self.split(longer, n.min(m));
                left.push_front(x);
                right.push_front(y);
            }
        }
        Some(())
    }

    /// Makes two roots of one length one.
    fn merge(&mut self, a: usize, b: usize) {
        let (old, new) = (a.min(b), a.max(b));
        self.parent[new] = old;
        if let Some(why) = self.frozen[new].take() {
            self.frozen[old].get_or_insert(why);
        }
    }
}
