# SPDX-License-Identifier: Apache-2.0
# Gives every chapter of the King James text a made-up book in place of its own, letter for letter:
# "Acts22:3 I am verily" becomes "Qogz22:3 I am verily" in the whole chapter. The names of books stand
# before every verse; under these a model cannot know them by heart, and learns to look what the last
# verse was called. Sizes stay, and so does the place where a part is held out.
# The names are those of mawk, Debian's awk; another awk draws others.
BEGIN {
  srand(1)
  upper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
  lower = tolower(upper)
}
match($0, /^[1-3]?[A-Za-z]+[0-9]+:/) {
  chapter = substr($0, 1, RLENGTH)
  if (chapter != last) {
    last = chapter
    label = ""
    for (i = 1; i <= RLENGTH; ++i) {
      c = substr(chapter, i, 1)
      if (index(upper, c)) c = substr(upper, 1 + int(26 * rand()), 1)
      else if (index(lower, c)) c = substr(lower, 1 + int(26 * rand()), 1)
      label = label c
    }
  }
  $0 = label substr($0, RLENGTH + 1)
}
{ print }
