/// The look of all pages: light, dark, narrow and on paper.
///
/// The four colours of lines come from Okabe and Ito's set (lightened in the dark), which people
/// with the usual kinds of colour blindness can tell apart.
enum PageStyle {
    static let sheet: StaticString = """
        :root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--muted:#57606a;--grid:#e2e6ea;
        --line:#8c959f;--card:#f5f7f9;--s1:#0072b2;--s2:#d55e00;--s3:#007a58;--s4:#9a3d8c;
        --good:#0b6b3a;--bad:#b42318;--warn:#8a5a00;--band:#d55e0022;--phase:#57606a14}
        @media screen and (prefers-color-scheme:dark){:root{--bg:#0f1419;--fg:#e6e9ed;
        --muted:#a3adb8;--grid:#28303a;--line:#5c6773;--card:#181f27;--s1:#56b4e9;--s2:#ff9d5c;
        --s3:#2fd0a5;--s4:#e29ad6;--good:#4cc38a;--bad:#ff8078;--warn:#f0b849;--band:#ff9d5c2b;
        --phase:#a3adb81a}}
        *{box-sizing:border-box}
        body{margin:0 auto;max-width:1060px;padding:24px 20px 60px;background:var(--bg);
        color:var(--fg);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",
        "Liberation Sans",sans-serif}
        h1{font-size:1.55rem;margin:0 0 .2em;line-height:1.25}
        h2{font-size:1.2rem;margin:2.2em 0 .6em;padding-bottom:.25em;
        border-bottom:1px solid var(--grid)}
        h3{font-size:1rem;margin:0}
        p{margin:.4em 0}.note,.sub{color:var(--muted);font-size:.9rem}
        .verdict{border:1px solid var(--grid);border-left:8px solid var(--line);
        border-radius:8px;background:var(--card);padding:14px 18px;margin:18px 0}
        .verdict p:first-child{font-size:1.25rem;font-weight:650;margin-top:0;line-height:1.3}
        .verdict.good{border-left-color:var(--good)}.verdict.bad{border-left-color:var(--bad)}
        .verdict.warn{border-left-color:var(--warn)}
        .good>p:first-child,td.good{color:var(--good)}.bad>p:first-child,td.bad{color:var(--bad)}
        .warn>p:first-child,td.warn{color:var(--warn)}
        .tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(128px,1fr));gap:10px;
        margin:14px 0;padding:0;list-style:none}
        .tiles li{border:1px solid var(--grid);border-radius:8px;padding:9px 12px;
        background:var(--card)}
        .tiles b{display:block;font-size:1.6rem;line-height:1.2;font-weight:650;
        font-variant-numeric:tabular-nums;white-space:nowrap}
        .tiles.small{grid-template-columns:repeat(auto-fit,minmax(205px,1fr))}
        .tiles.small b{font-size:1.2rem}
        .tiles span{color:var(--muted);font-size:.82rem}
        .tiles .bad b{color:var(--bad)}.tiles .good b{color:var(--good)}
        .tiles .bad{border-color:var(--bad)}
        .scroll{overflow-x:auto}
        table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
        th,td{text-align:left;padding:5px 14px 5px 0;border-bottom:1px solid var(--grid);
        vertical-align:top}
        th{color:var(--muted);font-weight:600;white-space:nowrap}
        td.n,th.n{text-align:right;white-space:nowrap}
        td.id{font-family:ui-monospace,SFMono-Regular,Menlo,"Liberation Mono",monospace;
        font-size:.8rem;overflow-wrap:anywhere;min-width:9em}
        td.text{overflow-wrap:anywhere;min-width:12em}
        pre{font-size:.82rem;background:var(--card);border:1px solid var(--grid);
        border-radius:8px;padding:12px 14px;white-space:pre-wrap;overflow-wrap:anywhere}
        figure{margin:26px 0 30px}
        .nothing{color:var(--muted);border:1px dashed var(--grid);border-radius:8px;
        padding:18px;text-align:center}
        .legend{list-style:none;margin:.5em 0 .2em;padding:0;display:flex;flex-wrap:wrap;
        gap:2px 18px;font-size:.88rem}
        .legend li{display:flex;align-items:center;gap:7px}
        svg{display:block;width:100%;height:auto}svg.narrow{display:none}
        svg.key{width:28px;height:10px;flex:none}
        svg text{fill:var(--fg);font-size:11.5px;font-family:inherit}
        svg .tick,svg .axisname,svg .phasename{fill:var(--muted)}
        .grid{stroke:var(--grid);stroke-width:1;fill:none}.minor{stroke-opacity:.45}
        .axis{stroke:var(--line);fill:none}
        .l{fill:none;stroke-width:1.6;stroke-linejoin:round;stroke-linecap:round}
        .reach{fill:none;stroke-width:2;opacity:.32}
        .dash{stroke-dasharray:5 3.5;stroke-linecap:butt}
        .s1{stroke:var(--s1)}.s2{stroke:var(--s2)}.s3{stroke:var(--s3)}.s4{stroke:var(--s4)}
        .f1{fill:var(--s1)}.f2{fill:var(--s2)}.f3{fill:var(--s3)}.f4{fill:var(--s4)}
        .phase{fill:var(--phase)}.band{fill:var(--band)}
        .mark path{stroke:var(--fg);stroke-width:1;stroke-dasharray:2 3;opacity:.65;fill:none}
        .mark .label{font-size:11px}
        .tip{fill:transparent}.tip:hover{fill:var(--phase)}
        .forest{width:220px;min-width:160px;height:22px}
        .zero{stroke:var(--line);stroke-dasharray:2 2}
        .pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(320px,1fr));gap:0 28px}
        @media screen and (max-width:640px){body{padding:16px 14px 40px}
        svg.wide{display:none}svg.narrow{display:block}
        .tiles,.tiles.small{grid-template-columns:repeat(auto-fit,minmax(96px,1fr));gap:8px}
        .tiles b{font-size:1.3rem}.tiles.small b{font-size:1.05rem}
        th,td{padding-right:10px}}
        @media print{body{max-width:none;padding:0;font-size:11pt}figure,.verdict,.tiles,tr{
        break-inside:avoid}h2,h3{break-after:avoid}.scroll{overflow:visible}
        .tip{display:none}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
        """
}
