// SPDX-License-Identifier: Apache-2.0
#include "config/suggest.h"

#include <algorithm>
#include <vector>

namespace tl {
namespace {

// The key that another trainer (Megatron-LM, the Hub's config.json, nanoGPT) names so.
const ConfigKey* KnownAs(const ConfigTable& table, const std::string& foreign_name) {
  for (const ConfigKey& key : table.keys()) {
    for (const char* alias : key.aliases) {
      if (foreign_name == alias) return &key;
    }
  }
  return nullptr;
}

}  // namespace

int EditDistance(const std::string& a, const std::string& b) {
  const size_t n = a.size(), m = b.size();
  std::vector<std::vector<int>> d(n + 1, std::vector<int>(m + 1));
  for (size_t i = 0; i <= n; ++i) d[i][0] = static_cast<int>(i);
  for (size_t j = 0; j <= m; ++j) d[0][j] = static_cast<int>(j);
  for (size_t i = 1; i <= n; ++i) {
    for (size_t j = 1; j <= m; ++j) {
      const int replace = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, replace});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
      }
    }
  }
  return d[n][m];
}

std::string NearestKey(const ConfigTable& table, const std::string& section,
                       const std::string& name) {
  if (const ConfigKey* ours = KnownAs(table, name)) return ours->full_name();
  // A key of the same section wins over an equally near one of another.
  std::string nearest;
  int best = 1 << 20;
  for (const ConfigKey& key : table.keys()) {
    const int distance = 4 * EditDistance(name, key.name) + (section == key.section ? 0 : 3);
    if (distance < best) {
      best = distance;
      nearest = key.full_name();
    }
  }
  return nearest;
}

std::string NearestSection(const ConfigTable& table, const std::string& section) {
  std::string nearest;
  int best = 1 << 20;
  for (const ConfigKey& key : table.keys()) {
    const int distance = EditDistance(section, key.section);
    if (distance < best) {
      best = distance;
      nearest = key.section;
    }
  }
  return nearest;
}

}  // namespace tl
