//! Some of the files of a package.

/// Files of a package by their position in it: a byte for each file of the package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileSet {
    marks: Vec<bool>,
    count: usize,
}

impl FileSet {
    /// Adds a file.
    pub(crate) fn insert(&mut self, position: usize) {
        if position >= self.marks.len() {
            self.marks.resize(position + 1, false);
        }
        if let Some(mark) = self.marks.get_mut(position).filter(|mark| !**mark) {
            *mark = true;
            self.count += 1;
        }
    }

    /// Takes a file out.
    pub(crate) fn remove(&mut self, position: usize) {
        if let Some(mark) = self.marks.get_mut(position).filter(|mark| **mark) {
            *mark = false;
            self.count -= 1;
        }
    }

    pub(crate) fn has(&self, position: usize) -> bool {
        self.marks.get(position).is_some_and(|mark| *mark)
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Returns the positions in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        self.marks.iter().enumerate().filter(|(_, mark)| **mark).map(|(position, _)| position)
    }
}

impl Extend<usize> for FileSet {
    fn extend<I: IntoIterator<Item = usize>>(&mut self, positions: I) {
        positions.into_iter().for_each(|position| self.insert(position));
    }
}

impl FromIterator<usize> for FileSet {
    fn from_iter<I: IntoIterator<Item = usize>>(positions: I) -> Self {
        let mut set = Self::default();
        set.extend(positions);
        set
    }
}

#[cfg(test)]
mod tests {
    use super::FileSet;

    #[test]
    fn a_set_holds_what_was_put_in_and_not_taken_out() {
        let mut set: FileSet = [3, 0, 3, 7].into_iter().collect();
        assert_eq!((set.len(), set.iter().collect::<Vec<_>>()), (3, vec![0, 3, 7]));
        for position in [3, 3, 5, 100] {
            set.remove(position);
        }
        assert_eq!((set.len(), set.has(3), set.has(7), set.has(8)), (2, false, true, false));
    }
}
