"""Where one pass of float32 gives a sum of squares, and where another is needed: alike on all backends."""

SURE = (1e-24, 1e30)  # sums of squares within which no square that counts has left float32
SMALL = 1024  # numbers of a tensor that is summed the exact way at once
