"""The index: how images and words become vectors, where they live, how they are found."""
