// SPDX-License-Identifier: Apache-2.0
#include "data/added_tokens.h"

#include <utf8proc.h>

#include <algorithm>

#include "data/characters.h"

namespace tl::internal {
namespace {

bool IsWordCharacter(int32_t c) {
  if (c == 0x200C || c == 0x200D) return true;
  // Letters in circles and squares, which are symbols but Alphabetic.
  if ((c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
      (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189))
    return true;
  switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return false;
  }
}

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  std::erase_if(tokens_, [](const AddedToken& t) { return t.content.empty(); });
  std::vector<std::pair<std::string, int32_t>> sorted;
  for (size_t i = 0; i < tokens_.size(); ++i) {
    const AddedToken& t = tokens_[i];
    sorted.push_back({t.content, static_cast<int32_t>(i)});
    longest_ = std::max(longest_, t.content.size());
    looks_around_ = looks_around_ || t.single_word || t.left_strip || t.right_strip;
  }
  std::sort(sorted.begin(), sorted.end());
  // Of tokens that are normalized to the same the first one is found.
  const auto same = [](const auto& a, const auto& b) { return a.first == b.first; };
  sorted.erase(std::unique(sorted.begin(), sorted.end(), same), sorted.end());
  trie_ = ByteTrie(sorted);
}

void AddedTokens::Split(absl::string_view text, std::vector<Segment>* segments) const {
  size_t done = 0;  // all before is in segments
  for (size_t i = 0; i < text.size();) {
    const AddedToken* token = nullptr;
    trie_.ForEachPrefix(text.substr(i), [&](size_t, int32_t index) {
      token = &tokens_[static_cast<size_t>(index)];
    });
    if (token == nullptr) {
      ++i;
      continue;
    }
    size_t begin = i, end = i + token->content.size();
    i = end;  // one that is not to be used still hides what it covers
    if (token->single_word &&
        ((begin > 0 && IsWordCharacter(CharAt(text, CharBefore(text, begin)))) ||
         (end < text.size() && IsWordCharacter(CharAt(text, end))))) {
      continue;
    }
    if (token->left_strip) {
      while (begin > done && IsWhiteSpace(CharAt(text, CharBefore(text, begin)))) {
        begin = CharBefore(text, begin);
      }
      begin = std::max(begin, done);
    }
    if (token->right_strip) {
      while (end < text.size() && IsWhiteSpace(CharAt(text, end))) {
        end += CharSize(text[end]);
      }
    }
    // As tokenizers does, the search goes on behind the token itself: another token, of blanks, may
    // begin among those that this one took along.
    if (begin >= end) continue;  // it lies in what the one before it took along
    if (begin > done) segments->push_back({text.substr(done, begin - done), -1});
    segments->push_back({text.substr(begin, end - begin), token->id});
    done = end;
  }
  if (done < text.size()) segments->push_back({text.substr(done), -1});
}

}  // namespace tl::internal
