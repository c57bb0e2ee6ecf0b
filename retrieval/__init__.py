"""The index: how pictures and words become vectors, where they live, how they are found."""
