// SPDX-License-Identifier: Apache-2.0
// Any bytes as a tokenizer.json: refused, or a tokenizer that encodes texts, cuts them where it
// says that it may, and decodes what it gave.
//   build/tests/tokenizer_json_fuzz -max_total_time=600 -rss_limit_mb=2048 -timeout=60
//     SCRATCH tests/fuzz/tokenizer_json
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "data/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto tokenizer =
      tl::MakeJsonTokenizer(std::string(reinterpret_cast<const char*>(data), size));
  if (!tokenizer.ok()) {
    if (tokenizer.status().message().empty()) std::abort();
    return 0;
  }
  const tl::Tokenizer& t = **tokenizer;
  const std::string long_word(200, 'a');
  for (const std::string& text : std::vector<std::string>{
           "", " ", "ab abc  a\nb",
           "The word <s> of\u2581it, e\u0301 \u5b57\U0001f600\u00a8.\r\n 12",
           "  \u0130 <unk><mask> x\u200d\x01y </s>  end " + long_word + " ba"}) {
    std::vector<int32_t> ids;
    if (!t.Encode(text, &ids).ok()) continue;
    for (const int32_t id : ids) {
      if (id < 0 || id >= t.vocab_size()) std::abort();
      t.TokenBytes(id);
    }
    t.Decode(ids);
    const size_t in_hand = text.size() * 2 / 3;
    const size_t cut = t.CutPoint(absl::string_view(text).substr(0, in_hand));
    if (cut > in_hand) std::abort();
    std::vector<int32_t> parts;
    if (!t.Encode(text.substr(0, cut), &parts).ok() || !t.Encode(text.substr(cut), &parts).ok())
      std::abort();
    if (parts != ids) std::abort();
  }
  return 0;
}
