// SPDX-License-Identifier: Apache-2.0
// A tokenizer's speed on one thread, and what it makes of texts, for tests/peers/.
//   build/tests/tokenizer_bench TOKENIZER TEXTS OUT
// TEXTS and OUT are rows of numbers of 32 bits, little-endian, and bytes: a length and a text each;
// the count of ids (-1 where the text is refused, and then the byte that the message names), the
// ids, the length of their text and that.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "base/utf8.h"
#include "data/tokenizer.h"

namespace {

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void Put(int32_t value, std::ofstream& out) {
  out.write(reinterpret_cast<const char*>(&value), sizeof(value));
}

// The ids of a text that is read in pieces, as `trunkline tokenize` reads files.
std::vector<int32_t> EncodeInPieces(const tl::Tokenizer& tokenizer, const std::string& text,
                                    size_t in_hand) {
  std::vector<int32_t> ids;
  absl::string_view rest = text;
  for (size_t want = in_hand; want < rest.size();) {
    const size_t cut = tokenizer.CutPoint(rest.substr(0, want));
    want = cut == 0 ? 2 * want : in_hand;
    if (!tokenizer.Encode(rest.substr(0, cut), &ids).ok()) std::abort();
    rest.remove_prefix(cut);
  }
  if (!tokenizer.Encode(rest, &ids).ok()) std::abort();
  return ids;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const double started = Seconds();
  const auto tokenizer = tl::LoadTokenizer(argv[1]);
  if (!tokenizer.ok()) {
    std::fprintf(stderr, "%s\n", std::string(tokenizer.status().message()).c_str());
    return 1;
  }
  const double loaded = Seconds();
  std::ifstream in(argv[2], std::ios::binary);
  const std::string texts(std::istreambuf_iterator<char>(in), {});
  std::ofstream out(argv[3], std::ios::binary);
  double encoding = 0, decoding = 0;
  size_t bytes = 0, tokens = 0, torn = 0;
  for (size_t at = 0; at + sizeof(uint32_t) <= texts.size();) {
    uint32_t size = 0;
    std::memcpy(&size, texts.data() + at, sizeof(size));
    const std::string text = texts.substr(at + sizeof(size), size);
    at += sizeof(size) + size;
    std::vector<int32_t> ids;
    const double begun = Seconds();
    const absl::Status status = (*tokenizer)->Encode(text, &ids);
    encoding += Seconds() - begun;
    if (!status.ok()) {
      Put(-1, out);
      Put(static_cast<int32_t>(tl::ValidUtf8Prefix(text)), out);
      continue;
    }
    for (const size_t in_hand : {size_t{64}, size_t{1000}}) {
      if (text.size() < size_t{1} << 16) torn += EncodeInPieces(**tokenizer, text, in_hand) != ids;
    }
    const double encoded = Seconds();
    const std::string decoded = (*tokenizer)->Decode(ids);
    decoding += Seconds() - encoded;
    Put(static_cast<int32_t>(ids.size()), out);
    for (int32_t id : ids) Put(id, out);
    Put(static_cast<int32_t>(decoded.size()), out);
    out.write(decoded.data(), static_cast<std::streamsize>(decoded.size()));
    bytes += size;
    tokens += ids.size();
  }
  std::printf(
      "%zu bytes, %zu tokens, loading %.2f s, encoding %.3f s (%.1f MB/s), decoding %.3f s\n",
      bytes, tokens, loaded - started, encoding,
      encoding > 0 ? static_cast<double>(bytes) / 1e6 / encoding : 0.0, decoding);
  if (torn > 0) std::printf("%zu texts have other ids when they are read in pieces\n", torn);
  return torn > 0 ? 1 : 0;
}
