//! Which request times out next. All have the same time, so the order in which they were begun is that of their
//! deadlines; and a connection has one request at most, so a list through the connections needs no more memory
//! at a higher rate.

/// No connection.
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Link {
    before: u32,
    after: u32,
}

/// Connections with a request, by when it was begun.
#[derive(Debug)]
pub struct Deadlines {
    /// One for each connection, and one more at the end: that of the list's two ends.
    links: Vec<Link>,
}

impl Deadlines {
    pub fn new(connections: usize) -> Deadlines {
        let mut links = vec![
            Link {
                before: NONE,
                after: NONE,
            };
            connections + 1
        ];
        let ends = connections as u32;
        links[connections] = Link {
            before: ends,
            after: ends,
        };
        Deadlines { links }
    }

    fn ends(&self) -> usize {
        self.links.len() - 1
    }

    /// A request has begun on a connection that had none.
    pub fn push(&mut self, connection: u32) {
        debug_assert_eq!(self.links[connection as usize].after, NONE);
        let ends = self.ends();
        let last = self.links[ends].before;
        self.links[connection as usize] = Link {
            before: last,
            after: ends as u32,
        };
        self.links[last as usize].after = connection;
        self.links[ends].before = connection;
    }

    /// It has ended.
    pub fn remove(&mut self, connection: u32) {
        let none = Link {
            before: NONE,
            after: NONE,
        };
        let Link { before, after } = std::mem::replace(&mut self.links[connection as usize], none);
        debug_assert_ne!(after, NONE);
        self.links[before as usize].after = after;
        self.links[after as usize].before = before;
    }

    /// The connection whose request was begun first.
    pub fn first(&self) -> Option<u32> {
        let first = self.links[self.ends()].after;
        (first as usize != self.ends()).then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_first_whoever_leaves() {
        let mut deadlines = Deadlines::new(4);
        assert_eq!(deadlines.first(), None);
        for connection in [2, 0, 3, 1] {
            deadlines.push(connection);
        }
        deadlines.remove(0);
        deadlines.remove(2);
        assert_eq!(deadlines.first(), Some(3));
        deadlines.push(2);
        deadlines.remove(3);
        assert_eq!(deadlines.first(), Some(1));
        deadlines.remove(1);
        assert_eq!(deadlines.first(), Some(2));
        deadlines.remove(2);
        assert_eq!(deadlines.first(), None);
    }
}
