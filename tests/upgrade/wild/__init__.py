"""Old databases drawn at random, from shapes, types and values that were seen; and the law that nothing is lost."""
