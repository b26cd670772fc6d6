#include "data/added_tokens.h"

#include <utf8proc.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "data/characters.h"

namespace tl::internal {
namespace {

bool IsWordCharacter(int32_t c) {
  if (c == 0x200C || c == 0x200D) return true;
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
  for (int i = 0; i < static_cast<int>(tokens_.size()); ++i) {
    const AddedToken& t = tokens_[i];
    by_first_byte_[static_cast<unsigned char>(t.content[0])].push_back(i);
    longest_ = std::max(longest_, t.content.size());
    looks_around_ = looks_around_ || t.single_word || t.left_strip || t.right_strip;
  }
  for (auto& list : by_first_byte_) {
    std::stable_sort(list.begin(), list.end(), [&](int a, int b) {
      return tokens_[a].content.size() > tokens_[b].content.size();
    });
  }
}

void AddedTokens::Split(absl::string_view text, std::vector<Segment>* segments) const {
  size_t done = 0;  // all before is in segments
  for (size_t i = 0; i < text.size();) {
    const AddedToken* token = nullptr;
    for (int candidate : by_first_byte_[static_cast<unsigned char>(text[i])]) {
      if (absl::StartsWith(text.substr(i), tokens_[candidate].content)) {
        token = &tokens_[candidate];
        break;
      }
    }
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
      begin = std::min(std::max(begin, done), end);
    }
    if (token->right_strip) {
      while (end < text.size() && IsWhiteSpace(CharAt(text, end))) {
        end += CharSize(text[end]);
      }
    }
    // As tokenizers does, the search goes on behind the token itself: another token, of blanks, may
    // begin among those that this one took along.
    if (begin > done) segments->push_back({text.substr(done, begin - done), -1});
    segments->push_back({text.substr(begin, end - begin), token->id});
    done = end;
  }
  if (done < text.size()) segments->push_back({text.substr(done), -1});
}

}  // namespace tl::internal
