// comparison.hpp's to_svg(): two panels side by side, a point and a label for each model. Axes begin and end a little
// outside the data; labels stand where they cover neither points nor each other, as far as that can be had.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "comparison.hpp"

namespace bq_perplexity {

namespace {

constexpr double panel_width = 420, panel_height = 340, left = 70, top = 40, gap = 110, bottom = 60, right = 30;
constexpr double letter = 6.6, line = 13;  // size of a label's letters

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e ? '?' : c;
    }
  }
  return out;
}

struct axis {
  double least, most;
  bool logarithmic;
  double scaled(double v) const { return logarithmic ? std::log10(v) : v; }
  double place(double v) const { return (scaled(v) - scaled(least)) / (scaled(most) - scaled(least)); }
  std::vector<double> ticks() const;
};

axis around(const std::vector<double>& values, bool logarithmic) {
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  if (logarithmic) return {*least / 1.6, *most * 1.6, true};
  const double margin = *most > *least ? 0.08 * (*most - *least) : std::max(0.08 * std::abs(*most), 1e-9);
  return {*least - margin, *most + margin, false};
}

std::vector<double> axis::ticks() const {
  std::vector<double> out;
  if (logarithmic) {
    for (double power = std::pow(10.0, std::floor(std::log10(least))); power <= most; power *= 10) {
      for (const double step : {1.0, 2.0, 5.0}) {
        if (power * step >= least && power * step <= most) out.push_back(power * step);
      }
    }
    return out;
  }
  const double rough = (most - least) / 6, power = std::pow(10.0, std::floor(std::log10(rough)));
  const double step = power * (rough / power < 2 ? 2 : rough / power < 5 ? 5 : 10);
  for (double v = std::ceil(least / step) * step; v <= most; v += step) out.push_back(v);
  return out;
}

struct box {
  double x, y, width, height;
  bool meets(const box& o) const {
    return x < o.x + o.width && o.x < x + width && y < o.y + o.height && o.y < y + height;
  }
};

struct point {
  double x, y;
  std::string label;
};

std::string labels(const std::vector<point>& points) {
  std::vector<box> taken;
  for (const point& p : points) taken.push_back({p.x - 4, p.y - 4, 8, 8});
  std::string out;
  for (const point& p : points) {
    const double width = letter * static_cast<double>(p.label.size());
    const box places[] = {{p.x + 6, p.y - line, width, line},         {p.x - width / 2, p.y - 6 - line, width, line},
                          {p.x - width - 6, p.y - line, width, line}, {p.x + 6, p.y, width, line},
                          {p.x - width - 6, p.y, width, line},        {p.x - width / 2, p.y + 6, width, line}};
    const auto free = std::find_if(std::begin(places), std::end(places), [&](const box& b) {
      return std::none_of(taken.begin(), taken.end(), [&](const box& t) { return t.meets(b); });
    });
    const box& at = free != std::end(places) ? *free : places[0];
    taken.push_back(at);
    out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n", at.x, at.y + line - 3, escaped(p.label));
  }
  return out;
}

std::string panel(double x0, const std::string& title, const std::vector<const compared_model*>& models,
                  const std::vector<double>& values, bool logarithmic) {
  std::string out = fmt::format("<text class=\"title\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n", x0, top - 14, title);
  out += fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"/>\n", x0, top, panel_width,
                     panel_height);
  if (models.empty()) return out;
  std::vector<double> sizes;
  for (const compared_model* m : models) sizes.push_back(static_cast<double>(m->bytes) / 1e6);
  const axis across = around(sizes, true), up = around(values, logarithmic);
  const double floor = top + panel_height;
  for (const double t : across.ticks()) {
    const double x = x0 + panel_width * across.place(t);
    out += fmt::format("<path d=\"M{0:.1f} {1:.1f}V{2:.1f}\"/>\n", x, top, floor);
    out += fmt::format("<text class=\"across\" x=\"{:.1f}\" y=\"{:.1f}\">{:g} MB</text>\n", x, floor + 18, t);
  }
  for (const double t : up.ticks()) {
    const double y = floor - panel_height * up.place(t);
    out += fmt::format("<path d=\"M{0:.1f} {1:.1f}H{2:.1f}\"/>\n", x0, y, x0 + panel_width);
    out += fmt::format("<text class=\"up\" x=\"{:.1f}\" y=\"{:.1f}\">{:.4g}</text>\n", x0 - 8, y + 4, t);
  }
  std::vector<point> points;
  for (std::size_t i = 0; i < models.size(); ++i) {
    points.push_back(
        {x0 + panel_width * across.place(sizes[i]), floor - panel_height * up.place(values[i]), models[i]->name});
    out += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.5\"><title>{}: {:.2f} MB, {:.6g}</title></circle>\n",
                       points.back().x, points.back().y, escaped(models[i]->name), sizes[i], values[i]);
  }
  return out + labels(points);
}

}  // namespace

std::string to_svg(const comparison& c) {
  std::vector<const compared_model*> all, diverging;
  std::vector<double> perplexities, divergences;
  for (const compared_model& m : c.models) {
    all.push_back(&m);
    perplexities.push_back(m.statistics.perplexity.value);
    if (!(m.statistics.kld.value > 0)) continue;
    diverging.push_back(&m);
    divergences.push_back(m.statistics.kld.value);
  }
  const double width = left + 2 * panel_width + gap + right, height = top + panel_height + bottom;
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:g} {1:g}\" width=\"{0:g}\" height=\"{1:g}\">\n",
      width, height);
  out +=
      "<style>text{font:11px sans-serif}.title{font-size:14px}.across{text-anchor:middle}.up{text-anchor:end}"
      "rect{fill:none;stroke:#444}path{stroke:#ddd}circle{fill:#1565c0}</style>\n"
      "<rect x=\"0\" y=\"0\" width=\"100%\" height=\"100%\" style=\"fill:white;stroke:none\"/>\n";
  out += panel(left, "Perplexity over file size", all, perplexities, false);
  out +=
      panel(left + panel_width + gap, "Mean KL divergence from " + escaped(c.models.front().name) + " over file size",
            diverging, divergences, true);
  out += fmt::format("<text x=\"{:g}\" y=\"{:g}\">{}: {} windows of {} tokens</text>\n</svg>\n", left, height - 16,
                     escaped(c.text), c.windows, c.context);
  return out;
}

}  // namespace bq_perplexity
