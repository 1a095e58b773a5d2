// From the figures of all rounds to rows for programs, and tables for people.

import { SIZES } from './measure.mjs';
import { CROWDS, RELOADED, SETUPS } from './setups.mjs';

/** Of each figure: what it is, in what, and how many digits matter. */
const FIGURES = {
  p50: ['one after the other, median', 'ms', 1],
  p99: ['one after the other, 99 of 100', 'ms', 1],
  perSecond: ['as many as `ready` lets through', 'calls/s', 0],
  mostUnderWay: ['calls under way, at most', 'calls', 0],
  cpuMs: ['CPU of all processes', 'ms/call', 2],
  rendererMs: ['CPU of the renderers', 'ms/call', 2],
};
const CROWD_FIGURES = { ...FIGURES, fairness: ['least served beside most served', 'of 1', 2] };

const named = (bytes) => (bytes >= 1_024 ? `${bytes >> 10} KiB` : `${bytes} B`);

function median(values) {
  return [...values].sort((one, other) => one - other)[Math.floor(values.length / 2)];
}

/** The medians of what was measured in the rounds, as rows. */
function rows(prefix, rounds, figures) {
  return Object.entries(figures).flatMap(([figure, [name, unit, digits]]) => {
    const value = median(rounds.map((round) => round[figure]));
    // Without /proc nobody knows what was spent.
    return Number.isFinite(value) ? [{ figure, name: `${prefix}/${name}`, value: Number(value.toFixed(digits)), unit }] : [];
  });
}

/** All lines of the tables: what each is about, in cells, and its rows. */
function lines({ setups, crowds, reloads }) {
  return {
    calls: SETUPS.flatMap(({ way, who }, setup) => SIZES.map((bytes, size) => ({
      cells: [way, who, named(bytes)],
      rows: rows(`${way}/${who}/${named(bytes)}`, setups[setup].map((round) => round[size]), FIGURES),
    }))),
    crowds: CROWDS.map((count, index) => ({
      cells: [count],
      rows: rows(`${count} native peers`, crowds[index], CROWD_FIGURES),
    })),
    reloads: RELOADED.map(({ way }, index) => ({
      cells: [way],
      rows: Object.entries({ median: median(reloads[index]), least: Math.min(...reloads[index]), most: Math.max(...reloads[index]) })
        .map(([which, ms]) => ({
          figure: which,
          name: `${way}/reload, until the first call is answered, ${which}`,
          value: Math.round(ms),
          unit: 'ms',
        })),
    })),
  };
}

export function rowsOf(results) {
  const all = Object.values(lines(results)).flat();
  return all.flatMap(({ rows }) => rows.map(({ name, value, unit }) => ({ name, value, unit })));
}

function table(heads, lines, figures) {
  const body = lines.map(({ cells, rows }) => {
    const values = figures.map((wanted) => rows.find(({ figure }) => figure === wanted)?.value ?? '–');
    return `| ${[...cells, ...values].join(' | ')} |`;
  });
  return [`| ${heads.join(' | ')} |`, `| ${heads.map(() => '---').join(' | ')} |`, ...body].join('\n');
}

/** The tables of docs/calls.md. */
export function tableOf(results) {
  const { calls, crowds, reloads } = lines(results);
  const flow = ['under way', 'CPU ms a call', 'of it renderers'];
  return [
    table(['way', 'what calls', 'body', 'in turn, ms', '99 of 100', 'many, calls/s', ...flow], calls, Object.keys(FIGURES)),
    table(['native peers', 'least / most served', 'calls/s', ...flow], crowds, ['fairness', ...Object.keys(FIGURES).slice(2)]),
    table(['way', 'reload → first answer, ms', 'least', 'most'], reloads, ['median', 'least', 'most']),
  ].join('\n\n');
}
