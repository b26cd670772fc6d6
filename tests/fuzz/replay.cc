// SPDX-License-Identifier: Apache-2.0
// Gives every file of a folder to a fuzz target, once: the seeds, and inputs that once failed. Then
// as many more made of them by chance, the same ones in every run.
//   fuzz_NAME_replay FOLDER [MORE]
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <set>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

void Run(const std::string& input) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

// A place in text where one of its words or signs begins.
size_t Place(const std::string& text, std::mt19937& rng) {
  if (text.empty()) return 0;
  const size_t at = rng() % text.size();
  const size_t sign = text.find_first_of("{}[]\":,", at);
  return rng() % 4 == 0 || sign == std::string::npos ? at : sign;
}

std::string Part(const std::string& text, std::mt19937& rng) {
  const size_t begin = Place(text, rng), end = Place(text, rng);
  return end > begin ? text.substr(begin, std::min<size_t>(end - begin, rng() % 400)) : "";
}

// One to four changes: bytes, parts left out or doubled, parts of other inputs.
std::string Mutated(const std::vector<std::string>& inputs, std::mt19937& rng) {
  static const char* const kWords[] = {"null", "true", "false", "0",   "-1", "1e308",      "\"\"",
                                       "[]",   "{}",   "\"a\"", "258", "2",  "\"\\u2581\""};
  std::string text = inputs[rng() % inputs.size()];
  for (int changes = 1 + static_cast<int>(rng() % 4); changes > 0 && !text.empty(); --changes) {
    const size_t at = Place(text, rng);
    switch (rng() % 6) {
      case 0:
        text[at] = static_cast<char>(rng());
        break;
      case 1:
        text.erase(at, rng() % 40);
        break;
      case 2:
        text.insert(at, Part(text, rng));
        break;
      case 3:
        text.insert(at, Part(inputs[rng() % inputs.size()], rng));
        break;
      case 4: {  // a value
        const size_t begin = text.find(':', at);
        if (begin == std::string::npos) break;
        const size_t end = text.find_first_of(",}]", begin);
        if (end == std::string::npos) break;
        text.replace(begin + 1, end - begin - 1, kWords[rng() % std::size(kWords)]);
        break;
      }
      default:
        text[at] = static_cast<char>(text[at] ^ 1 << rng() % 8);
    }
  }
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 && argc != 3) return 2;
  std::set<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) paths.insert(entry.path());
  std::vector<std::string> inputs;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    inputs.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    Run(inputs.back());
  }
  const long more = argc == 3 && !inputs.empty() ? std::atol(argv[2]) : 0;
  std::mt19937 rng(1);
  for (long i = 0; i < more; ++i) Run(Mutated(inputs, rng));
  std::printf("%zu inputs, and %ld made of them\n", inputs.size(), more);
  return inputs.empty() ? 1 : 0;
}
